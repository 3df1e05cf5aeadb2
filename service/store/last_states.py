"""What the store remembers of a record between two decisions, as one small text. Pure; the scripts read it likewise.

Digest, version and the changes already decided on that state, a line each, and then, to the end, the fields that rules
ask of `previous`, in msgpack.
"""

from msgspec import Struct


class LastState(Struct, frozen=True):
    """The record's last decided state: `types` are the changes already decided on it."""

    digest: str = ""
    version: str = ""
    fields: bytes = b""
    types: tuple[str, ...] = ()


def read_last_state(kept: bytes | None) -> LastState:
    """Read what decide.lua wrote; nothing is remembered of a record that was never decided."""
    if not kept:
        return LastState()
    digest, version, types, fields = kept.split(b"\n", 3)
    return LastState(digest.decode(), version.decode(), fields, tuple(types.decode().split(",")) if types else ())
