"""arq 0.28's own wire form of a job, in msgpack instead of pickle: what `arq:job:<id>` and `arq:result:<id>` hold.

The fields are arq's (`arq.jobs.serialize_job`): t try, f function, a args, k kwargs, et enqueue time in ms. Give
`encode` and `decode` to `arq.create_pool` as serializer and deserializer, and plain arq producers and readers share the
queue.
Pickle is never read: whoever can write to the store could run code in the workers.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct


class Payload(Struct, frozen=True):
    """A decoded job: the function's name and its arguments."""

    function: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    attempt: int | None
    enqueued_ms: int


def _as_text(value: object) -> str:
    return repr(value)


encode: Callable[[Any], bytes] = msgspec.msgpack.Encoder(enc_hook=_as_text).encode
_decoder = msgspec.msgpack.Decoder(dict[str, Any])


def decode_payload(payload: bytes) -> dict[str, Any]:
    """Read a payload.

    Raises:
        msgspec.DecodeError: it is not msgpack, or not a map.
    """
    return _decoder.decode(payload)


def encode_job(function: str, args: Sequence[Any]) -> bytes:
    """Write a job as arq would, for a call of `function` with `args`."""
    return encode({"t": None, "f": function, "a": args, "k": {}, "et": int(time.time() * 1000)})


def decode_job(payload: bytes) -> Payload:
    """Read a job.

    Raises:
        msgspec.DecodeError: it cannot be read as a job.
    """
    fields = decode_payload(payload)
    try:
        return Payload(str(fields["f"]), tuple(fields["a"]), fields["k"], fields["t"], fields["et"])
    except (KeyError, TypeError) as error:
        raise msgspec.DecodeError(f"not a job: {error!r}") from None
