"""Read operations of a platform account, and one read with the result redacted for the actor."""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from service.config import PlatformConfig
from service.errors import PermanentError, Rejection
from service.events import JsonValue
from service.management.event_view import Visibility
from service.platforms import Platform
from service.platforms.reads import ReadOperation
from service.platforms.registry import READS
from service.redaction import scrub, to_plain

INVALID_CALL_CODES = frozenset({"invalid_argument", "invalid_id", "not_configured"})

_encode = msgspec.json.Encoder(decimal_format="number").encode


class ReadView(Struct, frozen=True):
    """Read operation of an account, with its required and optional arguments."""

    operation: str
    required: Sequence[str]
    optional: Sequence[str]


def list_reads(configs: Mapping[str, PlatformConfig], account: str) -> list[ReadView]:
    """List the read operations of an account.

    Raises:
        Rejection: 404 `not_found`.
    """
    return [ReadView(name, read.required, read.optional) for name, read in _reads(configs, account).items()]


async def read_platform(
    configs: Mapping[str, PlatformConfig],
    platforms: Mapping[str, Platform],
    account: str,
    operation: str,
    arguments: Mapping[str, str],
    *,
    visibility: Visibility,
) -> JsonValue:
    """Read one item or one page of a list, within the account's throttle.

    Raises:
        Rejection: 404 `not_found`: account, operation or item; 422 `invalid`: the arguments.
        TransientError, PermanentError, Deferred: The platform did not return the item.
    """
    reads = _reads(configs, account)
    if operation not in reads:
        detail = f"{account}: read operation {operation[:64]} not found. Use one of: {', '.join(reads)}."
        raise Rejection(404, "not_found", detail)
    try:
        answer = await reads[operation].run(platforms[account], arguments)
    except PermanentError as error:
        if error.kind in INVALID_CALL_CODES:
            raise Rejection(422, "invalid", str(error)) from error
        raise
    if answer is None:
        given = " ".join(f"{name}={value[:64]}" for name, value in arguments.items())
        detail = f"{account}: {operation} {given} not found. Check the arguments and the configuration of the account."
        raise Rejection(404, "not_found", detail)
    shown = msgspec.json.decode(_encode(answer))
    return shown if visibility == "raw" else scrub(to_plain(shown))


def _reads(configs: Mapping[str, PlatformConfig], account: str) -> Mapping[str, ReadOperation]:
    if account not in configs:
        raise Rejection(
            404,
            "not_found",
            f"Platform account {account[:64]} not found. Use one of: {', '.join(configs) or 'none is configured'}.",
        )
    return READS[str(configs[account].__struct_config__.tag)]
