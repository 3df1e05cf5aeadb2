"""Writes by hand: each writing operation of a platform's client under its name.

`waybill platforms write` offers these writes. Rules write by actions, which the ledger protects from repetition; by
hand, a person decides whether to repeat. A write takes ids as text and, where the operation has one, a body as a JSON
object. No write is repeated automatically: its outcome may be unknown.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Struct

from service.config.decoding import decode_config
from service.errors import ConfigError, PermanentError
from service.platforms.api.declared_operations import client_methods
from service.platforms.api.operations import NO_CONTEXT, WriteResult
from service.platforms.base import CallContext, Platform

Body = TypeVar("Body")
WriteMethod = Callable[..., Awaitable[WriteResult]]


class WriteOperation(Struct, frozen=True):
    """One write: the client's method, the ids it requires, and name and type of its body, if it takes one."""

    method: WriteMethod
    ids: tuple[str, ...]
    body: tuple[str, Any] | None

    async def run(
        self, platform: Platform, ids: Mapping[str, str], body: bytes | None, context: CallContext = NO_CONTEXT
    ) -> WriteResult:
        """Call the method for one account.

        Args:
            platform: The connector of an account of this write's platform.
            ids: The ids by name.
            body: A JSON object, None for a write without a body.
            context: The event that the call belongs to.

        Returns:
            The status, the id and the answer of the platform.

        Raises:
            PermanentError: `invalid_argument` if an argument is missing, unknown or malformed; or as the method.
        """
        if set(ids) != set(self.ids) or (body is None) != (self.body is None):
            needed = ", ".join((*self.ids, *(("a body",) if self.body else ())))
            raise PermanentError("invalid_argument", f"the arguments are {needed}")
        arguments: dict[str, Any] = dict(ids)
        if self.body is not None and body is not None:
            arguments[self.body[0]] = _decode(self.body[1], body)
        return await self.method(cast("Any", platform).client, **arguments, context=context)


def client_writes(client: type) -> dict[str, WriteOperation]:
    """List the writes of a platform.

    Args:
        client: The class of the platform's client.

    Returns:
        The writes by the names of their operations, in the order of their definition.
    """
    return {
        each.operation.name: write_operation(each.call)
        for each in client_methods(client)
        if not each.operation.idempotent
    }


def write_operation(method: WriteMethod) -> WriteOperation:
    """Describe a write by the signature of its method: `str` parameters are ids, any other is the body.

    Args:
        method: The client's method.

    Returns:
        The write.
    """
    parameters = [each for each in list(inspect.signature(method).parameters.values())[1:] if each.name != "context"]
    ids = tuple(each.name for each in parameters if each.annotation is str)
    bodies = [(each.name, each.annotation) for each in parameters if each.annotation is not str]
    return WriteOperation(method, ids, bodies[0] if bodies else None)


def _decode(kind: type[Body], body: bytes) -> Body:
    try:
        fields = msgspec.json.decode(body, type=dict[str, Any])
        decoded: Body = decode_config(fields, kind, "the body")
    except (msgspec.MsgspecError, ConfigError) as error:
        mistakes = error.mistakes if isinstance(error, ConfigError) else (f"the body: {error}",)
        raise PermanentError("invalid_argument", "; ".join(map(str, mistakes))) from error
    known = decoded.__struct_encode_fields__ if isinstance(decoded, Struct) else fields
    unknown = sorted(fields.keys() - set(known))
    if unknown:
        named = ", ".join(unknown)
        raise PermanentError("invalid_argument", f"the body: there is no {named}; there are {', '.join(known)}")
    return decoded
