"""Serialization of arq 0.28 jobs in msgpack instead of pickle: the values of `arq:job:<id>` and `arq:result:<id>`.

The fields are those of `arq.jobs.serialize_job`: t attempt, f function, a args, k kwargs, et enqueue time in ms. With
`encode` and `decode_payload` as serializer and deserializer of `arq.create_pool`, plain arq clients share the queue.
Pickle is never read: it would let every client of the store run code in the workers.
"""

import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct


class Payload(Struct, frozen=True, rename={
    "function": "f", "args": "a", "kwargs": "k", "attempt": "t", "enqueued_ms": "et"
}):  # fmt: skip
    """Decoded job: name of the function and its arguments."""

    function: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    attempt: int | None
    enqueued_ms: Annotated[int, Meta(ge=0, le=253_402_300_799_000)]
    """Up to the year 9999, the last one of `datetime`."""


def _as_text(value: object) -> str:
    return repr(value)


encode: Callable[[Any], bytes] = msgspec.msgpack.Encoder(enc_hook=_as_text).encode
_decoder = msgspec.msgpack.Decoder(dict[str, Any])
_job_decoder = msgspec.msgpack.Decoder(Payload)


def decode_payload(payload: bytes) -> dict[str, Any]:
    """Return the fields of a payload.

    Raises:
        msgspec.DecodeError: The payload is not a msgpack map.
    """
    return _decoder.decode(payload)


def encode_job(function: str, args: Sequence[Any]) -> bytes:
    """Return the payload of a job that calls `function` with `args`."""
    return encode({"t": None, "f": function, "a": args, "k": {}, "et": int(time.time() * 1000)})


def decode_job(payload: bytes) -> Payload:
    """Return a decoded job.

    Raises:
        ValueError: The payload is not a job.
    """
    try:
        return _job_decoder.decode(payload)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
