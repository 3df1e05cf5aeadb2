"""What the store remembers of a record between two decisions, as one small text. Pure; the scripts read it likewise.

Digest, version and the changes already decided on that state, a line each, and then, to the end, the fields that rules
ask of `previous`, in msgpack. There is one for every record that was ever decided: the digest's hex lies in base64.
"""

from base64 import b64decode, b64encode

from msgspec import Struct

_HEX_DIGITS, _SHORT_CHARACTERS = 32, 22


class LastState(Struct, frozen=True):
    """The record's last decided state: `types` are the changes already decided on it."""

    digest: str = ""
    version: str = ""
    fields: bytes = b""
    types: tuple[str, ...] = ()


def short_digest(digest: str) -> str:
    """Write a digest of 128 bits in 22 characters; any other text is left as it is."""
    if len(digest) != _HEX_DIGITS:
        return digest
    return b64encode(bytes.fromhex(digest)).decode()[:_SHORT_CHARACTERS]


def _long_digest(kept: bytes) -> str:
    return b64decode(kept + b"==").hex() if len(kept) == _SHORT_CHARACTERS else kept.decode()


def read_last_state(kept: bytes | None) -> LastState:
    """Read what decide.lua wrote; nothing is remembered of a record that was never decided."""
    if not kept:
        return LastState()
    digest, version, types, fields = kept.split(b"\n", 3)
    return LastState(_long_digest(digest), version.decode(), fields, tuple(types.decode().split(",")) if types else ())
