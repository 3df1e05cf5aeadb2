"""Changing one thing on a platform by hand: which writes an account offers, and one write, told in the audit log."""

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
    """One write of an account, by its operation: the ids it needs, in order, and whether it takes a body."""

    operation: str
    ids: Sequence[str]
    body: bool


class Wrote(Struct, frozen=True):
    """What a platform answered to a write, with the id of what was written where it told one."""

    http_status: int
    id: str | None


def list_writes(configs: Mapping[str, PlatformConfig], account: str) -> list[WriteView]:
    """List what can be changed on an account.

    Raises:
        Rejection: 404 `not_found`.
    """
    return [WriteView(name, write.ids, write.body is not None) for name, write in _writes(configs, account).items()]


async def write_platform(
    configs: Mapping[str, PlatformConfig],
    platforms: Mapping[str, Platform],
    operator: Actor,
    *,
    account: str,
    operation: str,
    ids: Mapping[str, str],
    body: bytes | None,
) -> Wrote:
    """Make one change, once, through the limits and pauses that all pods share.

    Raises:
        Rejection: 404 `not_found`: account or operation; 422 `invalid`: the ids or the body.
        TransientError: nobody knows whether it was done.
        PermanentError, Held: it was not done.
    """
    writes = _writes(configs, account)
    if operation not in writes:
        raise Rejection(404, "not_found", f"{account} has no write {operation[:64]}; one of {_named(writes)}.")
    written = writes[operation].run(platforms[account], ids, body)
    return await run_to_completion(_write(written, operator, ":".join((account, operation, *ids.values()))))


async def _write(change: Awaitable[WriteResult], operator: Actor, target: str) -> Wrote:
    try:
        written = await change
    except TransientError as error:
        log_admin_change(
            operator, "platform.write_failed", target, error_kind=error.kind, http_status=error.http_status
        )
        raise
    except PermanentError as error:
        if error.kind in INVALID_CALL_CODES:
            raise Rejection(422, "invalid", str(error)) from error
        raise
    log_admin_change(operator, "platform.written", target, http_status=written.http_status)
    return Wrote(written.http_status, written.id)


def _writes(configs: Mapping[str, PlatformConfig], account: str) -> Mapping[str, WriteOperation]:
    if account not in configs:
        raise Rejection(404, "not_found", f"There is no platform {account[:64]}; one of {', '.join(configs)}.")
    return WRITES[str(configs[account].__struct_config__.tag)]


def _named(writes: Mapping[str, WriteOperation]) -> str:
    return ", ".join(writes) or "none: it is only asked"
