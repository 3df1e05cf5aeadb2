"""References to values in a delivery: JSON pointers (RFC 6901) into the body, and header names."""

from typing import Annotated, cast

from msgspec import UNSET, Meta, Struct

Pointer = Annotated[
    str,
    Meta(
        pattern=r"^(/([^~/]|~[01])*)*\Z",
        max_length=500,
        description="a JSON pointer (RFC 6901) such as /data/id; the empty pointer is the whole document",
    ),
]

PointerOrHeader = Annotated[
    str,
    Meta(
        pattern=r"^(/([^~/]|~[01])*)+\Z",
        max_length=500,
        description="a JSON pointer (RFC 6901) such as /data/id",
    ),
]


ListPointer = Annotated[
    str,
    Meta(
        pattern=r"^(/([^~/]|~[01])*)*\Z",
        max_length=500,
        description="a JSON pointer to a list, such as /events or /entry/*/changes; empty for the whole body",
    ),
]


class HeaderRef(Struct, frozen=True, forbid_unknown_fields=True):
    """A header of the request. Most signature schemes do not sign headers: see docs/reference/senders.md."""

    header: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,64}\Z", description="a header's name such as X-Topic")]


def parse_pointer(pointer: str) -> tuple[str, ...]:
    """Split a pointer into its steps: `/data/a~1b` is `("data", "a/b")`, the empty pointer is `()`."""
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])


def resolve_pointer(node: object, steps: tuple[str, ...]) -> object:
    """Return the value at a pointer, UNSET if there is none."""
    for step in steps:
        if isinstance(node, dict):
            node = cast("dict[str, object]", node).get(step, UNSET)
        elif isinstance(node, list) and step.isascii() and step.isdigit():
            items = cast("list[object]", node)
            node = items[int(step)] if int(step) < len(items) else UNSET
        else:
            return UNSET
    return node
