"""How events and stories lie in the store: as small as they can be read back whole. Pure.

A delivery is msgpack of `Event` without what its key says already (the id, and the trace that is made of it), with
short names for headers that come with every delivery, and its body packed by Zstandard where that helps: JSON takes
half its room. A story is text, one JSON object a line, in which a long part is deflated against a dictionary of words
that stories are made of. Either is read whether it was packed or not.
"""

import sys
import zlib

import msgspec
from msgspec.structs import force_setattr

from service.events import Event, traceparent_from_id

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BODY_BYTES_MIN = 200
"""A smaller body is left as it is: little is gained."""

BODY_LEVEL = -1
"""Half the time of level 1, for a fifth more room."""
_PACKED_BODY = b"(\xb5/\xfd"
"""What Zstandard's format begins with, and no JSON, no form and no XML does. A body that does is packed itself."""

_SHORT_TYPES = {"application/json": "j", "application/json; charset=utf-8": "k"}
_LONG_TYPES = {short: name for name, short in _SHORT_TYPES.items()}

_ENDED = b"\x02"
_STANDS = ("fate", "attempts", "ledger", "generation", "by", "asked", "reason")

HISTORY_BYTES_MIN = 160
_FOLDED = 0x01
_HEAD_BYTES = 4
_WINDOW_BITS, _MEMORY_LEVEL = -12, 5
"""A window of 4 KB, which is cheaper to set up than the usual one, and a story is hardly ever longer."""

_WORDS = (
    b'"error_kind":"platform_unavailable","error":"","retried","dead_lettered","answer":{"http_status":200}}'
    b'{"entry":"effect","at_ms":1,"attempt":1,"rule_id":"","action_id":"","outcome":"ok","duration_ms":1'
    b'"inputs":{"url":"https://","body":{"order":"","headers":{},"secret":null"action_type":"http","repeat":"keyed",'
    b'"customer.updated","created","deleted","changed","stale":true,"occurred_at":"2026-'
    b'"reason":"previous.status is missing, at when.all[3]","because":[["all[0]",true,"received"],["all[1]",false,'
    b'["any[0]",null,"(missing)".any_of.where",true,7,10,[4]]]}],'
    b'{"entry":"received","at_ms":17952,"source":"","type":"purchase_order.updated","change":"updated",'
    b'"record":":purchase_order:","occurred_at":null}\n'
    b'{"entry":"decided","at_ms":17952,"attempt":1,"rulebook":"","digest":"","previous_digest":"",'
    b'"version":"2026-01-01T00:00:00.000000Z","gone":false,"verdicts":[{"rule_id":"","result":"not_matched"},'
    b'{"rule_id":"","result":"unknown"},{"rule_id":"","result":"matched"}],"effects":[]}\n'
    b'{"entry":"attempt","at_ms":17952,"attempt":1,"outcome":"unmatched","duration_ms":0.'
)
"""Never changed, only followed by another one under another mark: what was folded with it is read with it."""

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Event)
_body_packer = zstd.ZstdCompressor(level=BODY_LEVEL)
_folder = zlib.compressobj(1, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL, zdict=_WORDS)


def encode_event(event: Event) -> bytes:
    """Write an event as the store keeps it under its id."""
    headers = dict(event.headers)
    # Nearly every event has these two headers, and their names and types would be kept with each.
    if (media := headers.get("content-type")) in _SHORT_TYPES:
        del headers["content-type"]
        headers["t"] = _SHORT_TYPES[media]
    if "user-agent" in headers:
        headers["u"] = headers.pop("user-agent")
    # What was made of the id is made of it again when it is read.
    trace = "" if event.traceparent == traceparent_from_id(event.id) else event.traceparent
    # The id is in the key's name already.
    return _encode((
        event.version, "", event.source, event.type, event.change, event.record, event.occurred_at, headers, trace,
        _pack_body(event.body), event.depth, event.identified, event.trail,
    ))  # fmt: skip


def decode_event(event_id: str, packed: bytes, *, with_body: bool = True) -> Event:
    """Read what `encode_event` wrote; without its body, which takes longest to unpack, it is empty there.

    Raises:
        msgspec.DecodeError: it is not an event of this version or the one before.
    """
    event = _decoder.decode(packed)
    if not event.id:  # fresh from the decoder and nobody else's yet
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
    elif event.body.startswith(_PACKED_BODY):
        try:
            force_setattr(event, "body", zstd.decompress(event.body))
        except zstd.ZstdError as error:
            raise msgspec.DecodeError(f"its body cannot be unpacked: {error}") from None
    return event


def compress_history(history: bytes) -> bytes:
    """Make a part of a story smaller; parts may be appended to one another, folded or not."""
    if len(history) < HISTORY_BYTES_MIN:
        return history
    folder = _folder.copy()
    folded = folder.compress(history) + folder.flush()
    return bytes((_FOLDED,)) + len(folded).to_bytes(_HEAD_BYTES - 1, "big") + folded


def split_ended(history: bytes) -> tuple[bytes, dict[str, str]]:
    """Part an ended event's story from where it stands, which end_event in shared.lua keeps behind it."""
    if not (history.endswith(_ENDED) and history[-5:-1].isdigit()):
        return history, {}
    end = len(history) - 5
    begin = end - int(history[-5:-1])
    stands = history[begin:end].decode(errors="replace").split("\x1f", len(_STANDS) - 1)
    named = {name: value for name, value in zip(_STANDS, stands, strict=False) if value}
    return history[:begin], {"state": "ended", **named}


def decompress_history(history: bytes) -> bytes:
    """Read a whole story of parts; what is damaged, or cut off at the end, is left out."""
    if bytes((_FOLDED,)) not in history:
        return history
    parts: list[bytes] = []
    at = 0
    while at < len(history):
        if history[at] == _FOLDED:
            begin = at + _HEAD_BYTES
            at = begin + int.from_bytes(history[at + 1 : begin], "big")
            parts.append(_inflated(history[begin:at]))
        else:
            end = history.find(b"\n", at) + 1 or len(history)
            parts.append(history[at:end])
            at = end
    return b"".join(parts)


def _pack_body(body: bytes) -> bytes:
    if len(body) < BODY_BYTES_MIN and not body.startswith(_PACKED_BODY):
        return body
    packed = _body_packer.compress(body, zstd.ZstdCompressor.FLUSH_FRAME)
    return packed if len(packed) < len(body) or body.startswith(_PACKED_BODY) else body


def _inflated(folded: bytes) -> bytes:
    try:
        return zlib.decompressobj(_WINDOW_BITS, zdict=_WORDS).decompress(folded)
    except zlib.error:
        return b""
