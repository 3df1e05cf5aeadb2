"""JSON pointers (RFC 6901): how the configuration says where a value stands in a JSON document."""

from typing import Annotated

from msgspec import Meta

Pointer = Annotated[
    str,
    Meta(
        pattern=r"^(/([^~/]|~[01])*)*\Z",
        max_length=500,
        description="a JSON pointer (RFC 6901) such as /data/id; empty names the whole document",
    ),
]

Place = Annotated[
    str,
    Meta(
        pattern=r"^(/([^~/]|~[01])*)+\Z",
        max_length=500,
        description="a JSON pointer (RFC 6901) such as /data/id",
    ),
]


def parse_pointer(pointer: str) -> tuple[str, ...]:
    """Split a pointer into its steps: `/data/a~1b` is `("data", "a/b")`, the empty pointer is `()`."""
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])
