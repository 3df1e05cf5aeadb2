"""Write operations of a platform account, and one write with a line in the audit log."""

from collections.abc import Awaitable, Mapping, Sequence

from msgspec import Struct

from service.config import PlatformConfig
from service.errors import PermanentError, Rejection, TransientError
from service.management.audit_log import Actor, log_admin_change, run_to_completion
from service.management.platform_reads import INVALID_CALL_CODES
from service.platforms import Platform
from service.platforms.api.operations import WriteResult
from service.platforms.registry import WRITES
from service.platforms.writes import WriteOperation


class WriteView(Struct, frozen=True):
    """Write operation of an account. `ids` are the names of its ids in order; `body` is True if a body is required."""

    operation: str
    ids: Sequence[str]
    body: bool


class Wrote(Struct, frozen=True):
    """Response of a platform to a write, with the id of the item if the response has one."""

    http_status: int
    id: str | None


def list_writes(configs: Mapping[str, PlatformConfig], account: str) -> list[WriteView]:
    """List the write operations of an account.

    Raises:
        Rejection: 404 `not_found`.
    """
    return [WriteView(name, write.ids, write.body is not None) for name, write in _writes(configs, account).items()]


async def write_platform(
    configs: Mapping[str, PlatformConfig],
    platforms: Mapping[str, Platform],
    actor: Actor,
    *,
    account: str,
    operation: str,
    ids: Mapping[str, str],
    body: bytes | None,
) -> Wrote:
    """Run one write operation once, within the account's throttle.

    Raises:
        Rejection: 404 `not_found`: account or operation; 422 `invalid`: the ids or the body.
        TransientError: The platform may or may not have made the change.
        PermanentError, Deferred: The platform did not make the change.
    """
    writes = _writes(configs, account)
    if operation not in writes:
        known = ", ".join(writes) or "none (the account is read-only)"
        detail = f"{account}: write operation {operation[:64]} not found. Use one of: {known}."
        raise Rejection(404, "not_found", detail)
    written = writes[operation].run(platforms[account], ids, body)
    return await run_to_completion(_write(written, actor, ":".join((account, operation, *ids.values()))))


async def _write(change: Awaitable[WriteResult], actor: Actor, target: str) -> Wrote:
    try:
        written = await change
    except TransientError as error:
        log_admin_change(actor, "platform.write_failed", target, error_kind=error.kind, http_status=error.http_status)
        raise
    except PermanentError as error:
        if error.kind in INVALID_CALL_CODES:
            raise Rejection(422, "invalid", str(error)) from error
        raise
    log_admin_change(actor, "platform.written", target, http_status=written.http_status)
    return Wrote(written.http_status, written.id)


def _writes(configs: Mapping[str, PlatformConfig], account: str) -> Mapping[str, WriteOperation]:
    if account not in configs:
        raise Rejection(
            404,
            "not_found",
            f"Platform account {account[:64]} not found. Use one of: {', '.join(configs) or 'none is configured'}.",
        )
    return WRITES[str(configs[account].__struct_config__.tag)]
