"""Reads by hand: each reading operation of a platform's client under its name, with arguments as text.

The admin API and `waybill platforms get` offer these reads. Arguments are the parameters of the client's method: ids
and filters as text, numbers as digits, lists separated by commas, search criteria as a JSON object. The fields of a
struct, such as the paging of a list, are arguments of their own. Results are plain data: a record without its envelope,
None if there is no such record, or a page of a list.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any, cast

import msgspec
from msgspec import Struct

from service.errors import PermanentError
from service.events import JsonValue
from service.platforms.api.declared_operations import client_methods
from service.platforms.api.operations import NO_CONTEXT
from service.platforms.base import CallContext, Platform

ReadMethod = Callable[..., Awaitable[Any]]


class ReadOperation(Struct, frozen=True):
    """One read: the client's method, its required arguments and its optional ones."""

    method: ReadMethod
    required: tuple[str, ...]
    optional: tuple[str, ...]

    async def run(
        self, platform: Platform, arguments: Mapping[str, str], context: CallContext = NO_CONTEXT
    ) -> JsonValue:
        """Call the method for one account.

        Args:
            platform: The connector of an account of this read's platform.
            arguments: The arguments by name, as text.
            context: The event that the call belongs to.

        Returns:
            The record, a page of a list, or None if there is no such record.

        Raises:
            PermanentError: `invalid_argument` if an argument is missing, unknown or malformed; or as the method.
        """
        missing = [name for name in self.required if name not in arguments]
        unknown = [name for name in arguments if name not in (*self.required, *self.optional)]
        if missing or unknown:
            known = ", ".join((*self.required, *(f"[{name}]" for name in self.optional))) or "none"
            raise PermanentError("invalid_argument", f"{', '.join(missing + unknown)}: the arguments are {known}")
        client = cast("Any", platform).client
        answer = await self.method(client, **_convert(self.method, arguments), context=context)
        return msgspec.to_builtins(answer, builtin_types=(Decimal,)) if isinstance(answer, Struct) else answer


def client_reads(client: type) -> dict[str, ReadOperation]:
    """List the reads of a platform.

    Args:
        client: The class of the platform's client.

    Returns:
        The reads by the names of their operations, in the order of their definition.
    """
    return {each.operation.name: _read(each.call) for each in client_methods(client) if each.operation.idempotent}


def _read(method: ReadMethod) -> ReadOperation:
    required, optional = list[str](), list[str]()
    for parameter in _parameters(method):
        if _is_struct(parameter.annotation):
            optional += parameter.annotation.__struct_fields__
        else:
            (required if parameter.default is inspect.Parameter.empty else optional).append(parameter.name)
    return ReadOperation(method, tuple(required), tuple(optional))


def _convert(method: ReadMethod, arguments: Mapping[str, str]) -> dict[str, Any]:
    converted: dict[str, Any] = {}
    for parameter in _parameters(method):
        try:
            if _is_struct(parameter.annotation):
                own = {name: arguments[name] for name in parameter.annotation.__struct_fields__ if name in arguments}
                converted[parameter.name] = msgspec.convert(own, parameter.annotation, strict=False)
            elif parameter.name in arguments:
                converted[parameter.name] = _value(parameter.annotation, arguments[parameter.name])
        except (msgspec.MsgspecError, ValueError) as error:
            raise PermanentError("invalid_argument", f"{parameter.name}: {error}") from error
    return converted


def _parameters(method: ReadMethod) -> list[inspect.Parameter]:
    """List the parameters that are arguments: all but `self` and `context`."""
    return [each for each in list(inspect.signature(method).parameters.values())[1:] if each.name != "context"]


def _is_struct(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Struct)


def _value(annotation: object, text: str) -> object:
    if annotation in {int, int | None}:
        return int(text)
    if annotation == dict[str, Any]:
        return msgspec.json.decode(text, type=dict[str, Any])
    words = str(annotation)
    return tuple(text.split(",")) if "tuple[" in words or "Sequence[" in words else text
