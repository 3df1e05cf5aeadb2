"""Serialization of events and histories: encoding and compression. Pure.

An event is `Event` in msgpack, without its id (part of the key) and without a trace derived from the id. Common headers
have short names. A body is compressed with Zstandard if that makes it smaller; JSON needs half the memory.
A history is text with one JSON object per line. Long parts are compressed with Zstandard and a fixed dictionary.
Uncompressed and compressed data can both be decoded.
"""

import sys

import msgspec
from msgspec.structs import force_setattr

from service.events import Event, traceparent_from_id
from service.store.queue.history_dictionary import HISTORY_DICTIONARY

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BODY_BYTES_MIN = 200
"""Smaller bodies are not compressed."""

BODY_LEVEL = -1
"""Half the time of level 1, and a fifth more bytes."""
_ZSTD_MAGIC = b"(\xb5/\xfd"
"""First bytes of the Zstandard format. No JSON, form or XML starts with them; a body that does is always compressed."""

_SHORT_TYPES = {"application/json": "j", "application/json; charset=utf-8": "k"}
_LONG_TYPES = {short: name for name, short in _SHORT_TYPES.items()}

_ENDED = b"\x02"
_END_FIELDS = ("outcome", "attempts", "ledger", "generation", "by", "asked", "reason")

HISTORY_BYTES_MIN = 64
_COMPRESSED = 0x05
"""First byte of a compressed part."""
_HEAD_BYTES = 4
HISTORY_LEVEL = 4
"""The smallest result within a few microseconds; the levels above take twice as long for 1 % fewer bytes."""

_Parameter = zstd.CompressionParameter
_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Event)
_body_compressor = zstd.ZstdCompressor(level=BODY_LEVEL)
_history_compressor = zstd.ZstdCompressor(
    options={
        _Parameter.compression_level: HISTORY_LEVEL,
        _Parameter.content_size_flag: 0,
        _Parameter.dict_id_flag: 0,
    },
    zstd_dict=HISTORY_DICTIONARY,
)


def encode_event(event: Event) -> bytes:
    """Return an event as stored under its id."""
    headers = dict(event.headers)
    # Nearly every event has these two headers: short names save memory.
    if (media := headers.get("content-type")) in _SHORT_TYPES:
        del headers["content-type"]
        headers["t"] = _SHORT_TYPES[media]
    if "user-agent" in headers:
        headers["u"] = headers.pop("user-agent")
    # A trace derived from the id is derived again when the event is decoded.
    trace = "" if event.traceparent == traceparent_from_id(event.id) else event.traceparent
    # The id is part of the key. Absent fields at the end take no bytes.
    fields = (
        event.version, "", event.source, event.type, event.change, event.record, event.occurred_at, headers, trace,
        compress_body(event.body), event.depth, event.identified, event.trail,
    )  # fmt: skip
    return _encode(fields if event.sender_id is None else (*fields, event.sender_id))


def decode_event(event_id: str, encoded: bytes, *, with_body: bool = True) -> Event:
    """Return the event that `encode_event` encoded. Without `with_body` its body is empty, which is faster.

    Raises:
        msgspec.DecodeError: It is not an event of this version or the version before.
    """
    event = _decoder.decode(encoded)
    if not event.id:  # frozen structs may be changed here: nothing else has a reference yet
        force_setattr(event, "id", event_id)
    if event.traceparent == "":
        force_setattr(event, "traceparent", traceparent_from_id(event_id))
    headers = event.headers
    if (media := headers.pop("t", None)) is not None:
        headers["content-type"] = _LONG_TYPES.get(media, media)
    if "u" in headers:
        headers["user-agent"] = headers.pop("u")
    if not with_body:
        force_setattr(event, "body", b"")
    else:
        force_setattr(event, "body", decompress_body(event.body))
    return event


def compress_history(history: bytes) -> bytes:
    """Return a part of a history, compressed if it is long. Parts of both kinds can be concatenated."""
    if len(history) < HISTORY_BYTES_MIN:
        return history
    # Without the first bytes of the format, which are the same in every part.
    compressed = _history_compressor.compress(history, zstd.ZstdCompressor.FLUSH_FRAME)[len(_ZSTD_MAGIC) :]
    return bytes((_COMPRESSED,)) + len(compressed).to_bytes(_HEAD_BYTES - 1, "big") + compressed


def split_ended(history: bytes) -> tuple[bytes, dict[str, str]]:
    """Return the history of an ended event and its final fields, which end_event in shared.lua appends."""
    if not (history.endswith(_ENDED) and history[-5:-1].isdigit()):
        return history, {}
    end = len(history) - 5
    begin = end - int(history[-5:-1])
    values = history[begin:end].decode(errors="replace").split("\x1f", len(_END_FIELDS) - 1)
    fields = {name: value for name, value in zip(_END_FIELDS, values, strict=False) if value}
    return history[:begin], {"state": "ended", **fields}


def decompress_history(history: bytes) -> bytes:
    """Return a complete history. Parts that are damaged or truncated are left out."""
    if _COMPRESSED not in history:
        return history
    parts: list[bytes] = []
    at = 0
    while at < len(history):
        if history[at] == _COMPRESSED:
            begin = at + _HEAD_BYTES
            end = begin + int.from_bytes(history[at + 1 : begin], "big")
            part = _decompress_part(history[begin:end])
            parts.append(part)
            # The length of a damaged part is not valid either: continue with the next line of text.
            at = end if part or end <= len(history) else history.find(b"\n{", at) + 1 or len(history)
        else:
            end = history.find(b"\n", at) + 1 or len(history)
            parts.append(history[at:end])
            at = end
    return b"".join(parts)


def compress_body(body: bytes) -> bytes:
    """Return a body as stored, compressed if that makes it smaller."""
    if len(body) < BODY_BYTES_MIN and not body.startswith(_ZSTD_MAGIC):
        return body
    compressed = _body_compressor.compress(body, zstd.ZstdCompressor.FLUSH_FRAME)
    return compressed if len(compressed) < len(body) or body.startswith(_ZSTD_MAGIC) else body


def decompress_body(stored: bytes) -> bytes:
    """Return the body that `compress_body` compressed.

    Raises:
        msgspec.DecodeError: It cannot be decompressed.
    """
    if not stored.startswith(_ZSTD_MAGIC):
        return stored
    try:
        return zstd.decompress(stored)
    except zstd.ZstdError as error:
        raise msgspec.DecodeError(f"the body cannot be decompressed: {error}") from None


def _decompress_part(compressed: bytes) -> bytes:
    try:
        return zstd.decompress(_ZSTD_MAGIC + compressed, zstd_dict=HISTORY_DICTIONARY)
    except zstd.ZstdError:
        return b""
