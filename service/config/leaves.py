"""Leaves of a configuration: each value that contains no other value, with its path."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from msgspec import Struct

from service.secrets import SecretRef


def leaves(value: object, at: str) -> Iterator[tuple[str, object]]:
    """Yield each leaf below a struct or JSON value at `at`, after its path. A reference to a secret is a leaf."""
    children: Sequence[tuple[str, object]]
    if isinstance(value, dict):
        children = [(f"{at}.{name}", item) for name, item in cast("dict[str, Any]", value).items()]
    elif isinstance(value, list | tuple):
        children = [(f"{at}[{index}]", item) for index, item in enumerate(cast("Sequence[Any]", value))]
    elif isinstance(value, Struct) and not isinstance(value, SecretRef):
        children = [(f"{at}.{field}", getattr(value, field)) for field in value.__struct_fields__]
    else:
        yield at, value
        return
    for path, item in children:
        yield from leaves(item, path)
