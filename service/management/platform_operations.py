"""Reads and writes of a platform account by hand: reads with a redacted result, writes with a line in the audit log."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct

from service.config import PlatformConfig
from service.errors import PermanentError, Rejection, TransientError
from service.events import JsonValue
from service.management.audit_log import Actor, log_admin_change, to_completion
from service.management.event_view import Visibility, visibility_of
from service.management.installation import InstallationOperations
from service.platforms.api.operations import WriteResult
from service.platforms.registry import READS, kind_of, writes_of
from service.redaction import redact_response

T = TypeVar("T")

INVALID_CALL_CODES = frozenset({"invalid_argument", "invalid_id", "not_configured", "unknown_kind"})

_encode = msgspec.json.Encoder(decimal_format="number").encode


class ReadView(Struct, frozen=True):
    """Read operation of an account, with its required and optional arguments."""

    operation: str
    required: Sequence[str]
    optional: Sequence[str]


class WriteView(Struct, frozen=True):
    """Write operation of an account. `ids` are the names of its ids in order; `body` is True if a body is required."""

    operation: str
    ids: Sequence[str]
    body: bool


class Wrote(Struct, frozen=True):
    """Response of a platform to a write.

    `id` is that of the item, if the response has one. `response` is null if the platform sent no JSON object. It is
    redacted for all but an admin who requests it raw.
    """

    http_status: int
    id: str | None
    response: JsonValue = None


class PlatformOperations(InstallationOperations):
    """Operations on the platform accounts of an installation in the name of an actor. They need no store.

    Every operation may raise ConfigError, and Rejection with 404 `not_found` for an unknown account.
    """

    async def list_reads(self, account: str) -> Sequence[ReadView]:
        """List the read operations of an account."""
        return [
            ReadView(name, read.required, read.optional)
            for name, read in READS[kind_of(self._config(account)).name].items()
        ]

    async def read_platform(
        self, account: str, operation: str, arguments: Mapping[str, str], *, raw: bool
    ) -> JsonValue:
        """Read one item or one page of a list, within the account's throttle.

        Raises:
            Rejection: 403 `permission_denied`: `raw` without the role admin; 404 `not_found`: account, operation or
                item; 422 `invalid`: the arguments.
            TransientError, PermanentError, Deferred: The platform did not return the item.
        """
        visibility = visibility_of(self.actor, raw=raw)
        read = _operation(READS[kind_of(self._config(account)).name], account, operation, "read")
        answer = await _run(read.run(self.installation.platforms()[account], arguments))
        if answer is None:
            given = " ".join(f"{name}={value[:64]}" for name, value in arguments.items())
            what = f"{account}: {operation} {given}"
            detail = f"{what} not found. Check the arguments and the configuration of the account."
            raise Rejection(404, "not_found", detail)
        return self._visible(answer, account, operation, visibility)

    async def list_writes(self, account: str) -> Sequence[WriteView]:
        """List the write operations of an account."""
        writes = writes_of(self._config(account)).items()
        return [WriteView(name, write.ids, write.body is not None) for name, write in writes]

    async def write_platform(
        self, account: str, operation: str, ids: Mapping[str, str], body: bytes | None, *, raw: bool
    ) -> Wrote:
        """Run one write operation once, within the account's throttle; `body` is JSON.

        Raises:
            Rejection: 403 `permission_denied`: `raw` without the role admin; 404 `not_found`: account or operation; 422
                `invalid`: the ids or the body.
            TransientError: The platform may or may not have made the change.
            PermanentError, Deferred: The platform did not make the change.
        """
        visibility = visibility_of(self.actor, raw=raw)
        write = _operation(writes_of(self._config(account)), account, operation, "write")
        change = write.run(self.installation.platforms()[account], ids, body)
        written = await _write(change, self.actor, ":".join((account, operation, *ids.values())))
        response = self._visible(written.data, account, operation, visibility)
        return Wrote(written.http_status, written.id, response)

    def _visible(self, answer: object, account: str, operation: str, visibility: Visibility) -> JsonValue:
        plain = msgspec.json.decode(_encode(answer))
        shown = kind_of(self._config(account)).shown_names_of(operation)
        return plain if visibility == "raw" else redact_response(plain, shown)

    def _config(self, account: str) -> PlatformConfig:
        configs = self.installation.config().platforms
        if account not in configs:
            known = ", ".join(configs) or "none is configured"
            raise Rejection(404, "not_found", f"Platform account {account[:64]} not found. Use one of: {known}.")
        return configs[account]


def _operation(operations: Mapping[str, T], account: str, name: str, verb: str) -> T:
    if name in operations:
        return operations[name]
    known = ", ".join(operations) or f"none (the account has no {verb} operations)"
    raise Rejection(404, "not_found", f"{account}: {verb} operation {name[:64]} not found. Use one of: {known}.")


@to_completion
async def _write(change: Awaitable[WriteResult], actor: Actor, target: str) -> WriteResult:
    try:
        written = await _run(change)
    except TransientError as error:
        log_admin_change(actor, "platform.write_failed", target, error_kind=error.kind, http_status=error.http_status)
        raise
    log_admin_change(actor, "platform.written", target, http_status=written.http_status)
    return written


async def _run(call: Awaitable[T]) -> T:
    """Call the platform. Arguments that the connector rejects are a rejection of the call."""
    try:
        return await call
    except PermanentError as error:
        if error.kind in INVALID_CALL_CODES:
            raise Rejection(422, "invalid", str(error)) from error
        raise
