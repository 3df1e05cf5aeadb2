"""Split the JSON text of a large object or list between its members, so that no call of a decoder takes long. Pure.

A decoder needs about a second for a million members, and no other thread runs meanwhile. The text is read in slices,
by a few calls of C code per slice. The decoder of the parts checks the grammar.
"""

from collections.abc import Iterator, Sequence

SLICE_BYTES = 131_072
BYTES_SEARCHED_MAX = 2_000
"""Bytes at the end of a slice that are searched for a comma between members."""

_OPENING, _CLOSING = b"{[", b"}]"
_ENDS = {b"{": b"}", b"[": b"]"}


def split_members(text: bytes, slice_bytes: int = SLICE_BYTES) -> Iterator[bytes]:
    """Yield the JSON text of objects, or lists, that together have the members of an object, or list, in their order.

    Text that is not JSON yields at least one text that is not JSON.
    """
    opening = text.lstrip()[:1] if text[:1].isspace() else text[:1]
    closing = _ENDS[opening]
    begin = at = first = text.index(opening) + 1
    depth, in_string = 1, False
    while at < len(text):
        end = _end_of_slice(text, at + slice_bytes)
        parts = _without_escapes(text[at:end]).split(b'"')
        outside = b"".join(parts[in_string::2])
        depth += sum(outside.count(byte) for byte in _OPENING) - sum(outside.count(byte) for byte in _CLOSING)
        in_string ^= len(parts) % 2 == 0
        comma = end - _bytes_after_comma(parts, depth, in_string=in_string)
        if comma < end:
            yield _joined(opening, text[begin:comma] + closing)
            begin = comma + 1
        at = end
    yield text if begin == first else _joined(opening, text[begin:])


def _end_of_slice(text: bytes, end: int) -> int:
    """Return the end of a slice that does not divide an escape sequence."""
    while end < len(text) and text[end - 1 : end] == b"\\":
        end += 1
    return min(end, len(text))


def _without_escapes(text: bytes) -> bytes:
    """Replace escaped backslashes and quotes by text of the same length."""
    return text.replace(rb"\\", b"__").replace(rb"\"", b"__") if b"\\" in text else text


def _joined(opening: bytes, members: bytes) -> bytes:
    """Return an object or list. Members that are blank stand for a comma without a member, which is not JSON."""
    return opening + (b"," if members.strip() in _ENDS.values() else b"") + members


def _bytes_after_comma(parts: Sequence[bytes], depth: int, *, in_string: bool) -> int:
    """Return the number of bytes from the last comma between members to the end; 0 if there is none nearby."""
    after = 0
    for part in reversed(parts):
        if not in_string:
            for byte in reversed(part[-BYTES_SEARCHED_MAX:]):
                after += 1
                if byte in _CLOSING:
                    depth += 1
                elif byte in _OPENING:
                    depth -= 1
                elif byte == 0x2C and depth == 1:
                    return after
        else:
            after += len(part)
        if after > BYTES_SEARCHED_MAX:
            return 0
        after += 1  # the quote before the part
        in_string = not in_string
    return 0
