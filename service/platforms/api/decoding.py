"""From the bytes of a platform's answer to plain JSON values, and from those to the digest of a state. Pure.

Numbers that are not whole become Decimal, never float. What cannot be decoded is named after whose fault it is: an
answer that ends early is time's, all else the platform's or, where a web page answers, the operator's.
"""

import hashlib
import re
from decimal import Decimal
from typing import Any, cast

import msgspec

from service.errors import PermanentError, TransientError
from service.events import JsonValue
from service.platforms.api.coercion import JsonObject, as_text

BOM = b"\xef\xbb\xbf"
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)
"""Two halves of a character, one half alone, any other escape."""

_decoder = msgspec.json.Decoder[Any](float_hook=Decimal)
_encoder = msgspec.json.Encoder(order="deterministic")


def decode_body(body: bytes, status: int) -> JsonValue:
    """Decode an answer.

    Raises:
        TransientError: `platform_truncated_json`, and `platform_not_json` for a page such as those of maintenance.
        PermanentError: `platform_malformed_json`.
    """
    if not body.strip():
        raise PermanentError("platform_wrong_envelope", "the answer is empty", http_status=status)
    if is_html(body):
        raise TransientError("platform_not_json", "a web page came instead of JSON", http_status=status)
    try:
        return _read(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # msgspec's own word for a text that ends early; nothing else tells it from one that is wrong.
        if "truncated" in str(error):
            raise TransientError("platform_truncated_json", "the JSON ends early", http_status=status) from error
        raise PermanentError("platform_malformed_json", "the answer is no JSON in UTF-8", http_status=status) from error


def _read(body: bytes) -> JsonValue:
    """Read JSON, also with a byte order mark, or with a text cut in the middle of a character, as some systems send."""
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # Only what cannot be read as it is: hardly any answer needs it, and all would pay for it.
        mended = _ESCAPES.sub(_whole_character, body.removeprefix(BOM))
        if mended == body:
            raise
        return _decoder.decode(mended)


def _whole_character(found: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if found[1] else found[0]


def is_html(body: bytes) -> bool:
    """Say whether an answer is HTML or XML, whatever its content type says."""
    return body.lstrip(BOM + b" \t\r\n").startswith(b"<")


def unwrap(data: object, status: int, *, wrapped: bool | None) -> JsonObject:
    """Take one object out of `{"data": …}`; `wrapped` None accepts it bare as well.

    Raises:
        PermanentError: `platform_wrong_envelope`.
    """
    if isinstance(data, dict):
        outer = cast("JsonObject", data)
        inner = outer.get("data")
        if wrapped is not False and isinstance(inner, dict):
            return cast("JsonObject", inner)
        if not wrapped:
            return outer
    raise PermanentError("platform_wrong_envelope", "the answer is no such object as is documented", http_status=status)


def not_a_list(status: int) -> PermanentError:
    """Make the error for an answer that is no list; where there is no such path, the operator is to mend it."""
    if status in {404, 410}:
        return PermanentError("config_wrong_address", "there is no such list", http_status=status)
    return PermanentError("platform_wrong_envelope", "the answer is no list", http_status=status)


def record_id(value: object, status: int) -> str:
    """Give the id that a record states of itself, as text.

    Raises:
        PermanentError: `platform_wrong_envelope`: there is none, so this is no record.
    """
    text = as_text(value)
    if not text:
        raise PermanentError("platform_wrong_envelope", "the answer has no id of its own", http_status=status)
    return text


def check_id(node: JsonObject, key: str, asked: str, status: int) -> None:
    """See that a thing is the one that was asked for.

    Raises:
        PermanentError: `platform_wrong_envelope`, `platform_wrong_record`.
    """
    if record_id(node.get(key), status) != asked:
        raise PermanentError("platform_wrong_record", "the answer is about something else", http_status=status)


def digest_of(state: object) -> str:
    """SHA-256, in hex, of a state: the same whatever the order of its members."""
    return hashlib.sha256(_encoder.encode(state)).hexdigest()
