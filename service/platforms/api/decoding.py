"""Decoding of a response: bytes to plain JSON values, and JSON values to the digest of a state. Pure.

Numbers that are not whole become Decimal, never float. A response that cannot be read is a transient error.
"""

import hashlib
import heapq
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar, cast

import msgspec

from service.bodies.repair import BOM, repair_surrogates
from service.compute_thread import LARGE_BYTES
from service.errors import PermanentError, TransientError
from service.events import JsonValue
from service.platforms.api.coercion import JsonObject, as_text
from service.platforms.api.large_objects import split_members

VALUES_MAX = 1_000_000
"""Values of a response, which are more than its commas. One call decodes so many values of a list in about 50 ms."""
PIECE_BYTES = 262_144
"""JSON above this size is decoded by several calls: one call holds the interpreter, about 10 ms for a megabyte."""

VALUES_PER_CALL_MAX = 20_000
"""Values that one call sorts or encodes, in about 10 ms."""
T = TypeVar("T")
StructT = TypeVar("StructT", bound=msgspec.Struct)

_decoder = msgspec.json.Decoder[Any](float_hook=Decimal)
_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_list_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_encoder = msgspec.json.Encoder(order="deterministic")


class NoRecordError(PermanentError):
    """The JSON of a response is not a record, or not a list of records. `errors_in_bodies` reads what it says."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__("platform_wrong_envelope", reason, http_status=status)


def decode_body(body: bytes, status: int) -> JsonValue:
    """Decode a response.

    Returns:
        The JSON value.

    Raises:
        TransientError: `platform_truncated_json`, `platform_malformed_json`, `platform_not_json` for a web page.
        PermanentError: `response_too_large`.
    """
    if not body.strip():
        raise TransientError("platform_truncated_json", "the answer is empty", http_status=status)
    if is_html(body):
        raise TransientError("platform_not_json", "a web page came instead of JSON", http_status=status)
    if len(body) > VALUES_MAX and body.count(b",") >= VALUES_MAX:
        reason = f"the response has more than {VALUES_MAX} values"
        raise PermanentError("response_too_large", reason, http_status=status)
    try:
        return _read(body)
    except InvalidOperation as error:
        reason = "a number of the answer has an exponent that is too large"
        raise TransientError("platform_malformed_json", reason, http_status=status) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # Only msgspec's message distinguishes a text that ends early from one that is malformed.
        if "truncated" in str(error):
            raise TransientError("platform_truncated_json", "the JSON ends early", http_status=status) from error
        raise TransientError("platform_malformed_json", "the answer is no JSON in UTF-8", http_status=status) from error


def typed_decoder(structure: type[StructT]) -> msgspec.json.Decoder[StructT]:
    """Build a decoder whose numbers are those of `decode_body`."""
    return msgspec.json.Decoder(structure, float_hook=Decimal)


def decode_typed(body: bytes, decoder: msgspec.json.Decoder[StructT]) -> StructT | None:
    """Decode a small response straight to a struct, by a decoder of `typed_decoder`.

    Returns:
        The struct; None if the bytes have another structure, or are not JSON, or are decoded in a thread.
    """
    if len(body) > LARGE_BYTES:
        return None
    try:
        if not body.isascii():
            body.decode()  # the decoder checks only the text that it needs
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InvalidOperation):
        return None


def _read(body: bytes) -> JsonValue:
    """Parse JSON; accept a byte order mark and text that was cut inside a character, as some systems send them."""
    try:
        return decode_in_pieces(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # Only after a failure: few responses need the repair, and every response would pay for it.
        repaired = repair_surrogates(body)
        if repaired == body:
            raise
        return decode_in_pieces(repaired)


def decode_in_pieces(body: bytes | msgspec.Raw) -> JsonValue:
    """Decode JSON as one call would, with several calls for each large object and list.

    Returns:
        The JSON value.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError, RecursionError: The bytes are no JSON.
    """
    if len(body) <= PIECE_BYTES:
        return _decoder.decode(body)
    text = bytes(body)
    first = text[:PIECE_BYTES].lstrip()[:1]
    if first == b"{":
        members: JsonObject = {}
        for part in split_members(text):
            members.update(_decode_object(part))
        return members
    if first == b"[":
        return [item for part in split_members(text) for item in _decode_list(part)]
    return _decoder.decode(body)


def _decode_object(part: bytes) -> JsonObject:
    if len(part) <= PIECE_BYTES:
        return _decoder.decode(part)
    return {key: decode_in_pieces(value) for key, value in _object_decoder.decode(part).items()}


def _decode_list(part: bytes) -> list[JsonValue]:
    if len(part) <= PIECE_BYTES:
        return _decoder.decode(part)
    return [decode_in_pieces(value) for value in _list_decoder.decode(part)]


def is_html(body: bytes) -> bool:
    """Return True if a response is HTML or XML, whatever its content type is."""
    return body.lstrip(BOM + b" \t\r\n").startswith(b"<")


def unwrap(data: object, status: int, *, wrapped: bool | None) -> JsonObject:
    """Return the object in `{"data": …}`; `wrapped` None accepts a bare object as well.

    Raises:
        NoRecordError: There is no such object.
    """
    if isinstance(data, dict):
        outer = cast("JsonObject", data)
        inner = outer.get("data")
        if wrapped is not False and isinstance(inner, dict):
            return cast("JsonObject", inner)
        if not wrapped:
            return outer
    raise NoRecordError("the answer is no such object as is documented", status)


def not_a_list(status: int) -> PermanentError:
    """Return the error for a response that is not a list; a 404 is an error of the configuration."""
    if status in {404, 410}:
        return PermanentError("config_wrong_address", "there is no such list", http_status=status)
    return NoRecordError("the answer is no list", status)


def record_id(value: object, status: int) -> str:
    """Return the record's own id as text.

    Raises:
        NoRecordError: The record has no id.
    """
    text = as_text(value)
    if not text:
        raise NoRecordError("the answer has no id of its own", status)
    return text


def check_id(node: JsonObject, key: str, asked: str, status: int) -> None:
    """Check that a response contains the requested id.

    Raises:
        PermanentError: `platform_wrong_envelope`, `platform_wrong_record`.
    """
    if record_id(node.get(key), status) != asked:
        raise PermanentError("platform_wrong_record", "the answer is about something else", http_status=status)


def digest_of(state: object, *, large: bool = False) -> str:
    """Return the SHA-256 of a state, in hex; the order of its members does not matter.

    A `large` state is encoded by several calls. The digest is the same.
    """
    if not large:
        return hashlib.sha256(_encoder.encode(state)).hexdigest()
    digest = hashlib.sha256()
    for piece in _encoded_pieces(state):
        digest.update(piece)
    return digest.hexdigest()


def listed_digest(node: object) -> str:
    """Return the digest of an item of a list, whose size is unknown."""
    return digest_of(node, large=True)


def _encoded_pieces(state: object) -> Iterator[bytes]:
    """Yield the encoding of a state. One call encodes at most `VALUES_PER_CALL_MAX` values."""
    if _count_values(state) <= VALUES_PER_CALL_MAX or not isinstance(state, dict | list):
        yield _encoder.encode(state)
        return
    if isinstance(state, dict):
        members = cast("JsonObject", state)
        for index, keys in enumerate(_groups(_sorted_keys(members), members.__getitem__)):
            yield b"," if index else b"{"
            if len(keys) > 1:
                yield _encoder.encode({key: members[key] for key in keys})[1:-1]
            else:
                yield _encoder.encode(keys[0]) + b":"
                yield from _encoded_pieces(members[keys[0]])
        yield b"}"
    else:
        for index, items in enumerate(_groups(cast("list[object]", state), lambda item: item)):
            yield b"," if index else b"["
            if len(items) > 1:
                yield _encoder.encode(items)[1:-1]
            else:
                yield from _encoded_pieces(items[0])
        yield b"]"


def _groups(members: Iterable[T], value_of: Callable[[T], object]) -> Iterator[list[T]]:
    """Divide members into groups that one call encodes. A member with too many values is a group of its own."""
    group: list[T] = []
    count = 0
    for member in members:
        values = _count_values(value_of(member))
        if group and count + values > VALUES_PER_CALL_MAX:
            yield group
            group, count = [], 0
        group.append(member)
        count += values
    yield group


def _count_values(state: object) -> int:
    """Return the number of values in a state; a number above `VALUES_PER_CALL_MAX` may be too small."""
    count, left = 1, [state]
    while left and count <= VALUES_PER_CALL_MAX:
        container = left.pop()
        if isinstance(container, dict):
            container = list(cast("JsonObject", container).values())
        if isinstance(container, list):
            values = cast("list[object]", container)
            count += len(values)
            left += values if count <= VALUES_PER_CALL_MAX else ()
    return count


def _sorted_keys(members: JsonObject) -> Iterator[str]:
    """Return the sorted keys. Many are sorted by several calls."""
    keys = list(members)
    parts = [sorted(keys[at : at + VALUES_PER_CALL_MAX]) for at in range(0, len(keys), VALUES_PER_CALL_MAX)]
    return heapq.merge(*parts)
