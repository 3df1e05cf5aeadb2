"""Asking a platform by hand: which reads an account offers, and one read, shown as far as the viewer may see."""

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
    """One read of an account, by its operation: the arguments it needs, and those it takes besides."""

    operation: str
    required: Sequence[str]
    optional: Sequence[str]


def list_reads(configs: Mapping[str, PlatformConfig], account: str) -> list[ReadView]:
    """List what an account can be asked.

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
    sight: Visibility,
) -> JsonValue:
    """Ask for one thing, or one page of a list, through the limits and pauses that all pods share.

    Raises:
        Rejection: 404 `not_found`: account, operation or thing; 422 `invalid`: the arguments.
        TransientError, PermanentError, Held: the platform's doing.
    """
    reads = _reads(configs, account)
    if operation not in reads:
        raise Rejection(404, "not_found", f"{account} offers no {operation[:64]}; it offers {', '.join(reads)}.")
    try:
        answer = await reads[operation].run(platforms[account], arguments)
    except PermanentError as error:
        if error.kind in INVALID_CALL_CODES:
            raise Rejection(422, "invalid", str(error)) from error
        raise
    if answer is None:
        raise Rejection(404, "not_found", f"{account} has no such thing.")
    shown = msgspec.json.decode(_encode(answer))
    return shown if sight == "raw" else scrub(to_plain(shown))


def _reads(configs: Mapping[str, PlatformConfig], account: str) -> Mapping[str, ReadOperation]:
    if account not in configs:
        raise Rejection(404, "not_found", f"There is no platform {account[:64]}.")
    return READS[str(configs[account].__struct_config__.tag)]
