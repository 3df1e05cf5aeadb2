"""Generated code that builds one struct from an object of a response: a line of an order has a call per field else.

The source contains the names of struct fields only, as in the `__init__` that dataclasses generate. No text of
waybill.yaml becomes code: names that are no identifiers are left to a loop.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from keyword import iskeyword
from types import CodeType, MappingProxyType, NoneType
from typing import Any

from msgspec import Struct

from service.platforms.api.coercion import as_quantity, as_text
from service.platforms.api.value_places import ValueGetter

ValueReader = Callable[[object, object], Any]
"""From where the pointers count, and the currency of amounts without one, to the field's value."""

USUAL_TYPES: Mapping[Callable[[Any], Any], type] = MappingProxyType({as_text: str, as_quantity: int})
"""Types whose values a conversion returns unchanged. All conversions return None unchanged."""

_SOURCE = """
def read(anchor, currency):
    {values}
    return structure({arguments})
"""


Parts = Sequence[tuple[str, ValueReader]]
"""Names of fields and their readers."""


class ScalarReader:
    """Reader of a single value. A value of the type `usual` is the field's value, and needs no `convert`."""

    __slots__ = ("convert", "get", "usual")

    def __init__(self, get: ValueGetter, convert: Callable[[Any], Any]) -> None:
        self.get = get
        self.convert = convert
        self.usual = USUAL_TYPES.get(convert, NoneType)

    def __call__(self, anchor: object, _currency: object) -> object:
        """Return the field's value."""
        return self.convert(self.get(anchor))


def build_struct_reader(structure: type[Struct], parts: Parts) -> ValueReader:
    """Build the function that reads a struct."""
    if not all(name.isidentifier() and not iskeyword(name) for name, _ in parts):
        return lambda anchor, currency: structure(**{name: read(anchor, currency) for name, read in parts})
    names: dict[str, Any] = {"structure": structure}
    values, arguments = list[str](), list[str]()
    for index, (name, read) in enumerate(parts):
        if isinstance(read, ScalarReader):
            names |= {f"get{index}": read.get, f"convert{index}": read.convert, f"usual{index}": read.usual}
            values.append(f"value{index} = get{index}(anchor)")
            value = f"value{index} if type(value{index}) is usual{index} else convert{index}(value{index})"
        else:
            names[f"read{index}"] = read
            value = f"read{index}(anchor, currency)"
        arguments.append(f"{name}={value}")
    source = _SOURCE.format(values="; ".join(values) or "pass", arguments=", ".join(arguments))
    exec(_compiled(source), names)  # noqa: S102 - built from identifiers only
    return names["read"]


@lru_cache(maxsize=256)
def _compiled(source: str) -> CodeType:
    """Compile a source. Most maps have the same ones: they differ in what is called, not in the names."""
    return compile(source, "<struct reader>", "exec")
