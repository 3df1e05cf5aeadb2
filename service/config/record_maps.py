"""Pointers of record fields in waybill.yaml: a JSON pointer, or a pointer with a conversion."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct

from service.bodies.pointers import Pointer

Conversion = Literal["decimal", "money", "moment", "epoch_s", "epoch_ms"]

CurrencyOrPointer = Annotated[
    str,
    Meta(
        pattern=r"^([A-Z]{3}|(/([^~/]|~[01])*)+)\Z",
        max_length=500,
        description="a currency such as EUR, or a JSON pointer to it such as /currency",
    ),
]


class FieldPointer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"as_": "as"}):
    """Pointer of a field, with a conversion.

    - `pointer`: relative to the record, below a list to the element. A step `*` stands for all items of a list.
    - `as`: the form of the value. `epoch_s` and `epoch_ms` are numbers since 1970; the others name the field's type.
    - `scale`: the number is divided by it: 1050 with 100 is 10.50.
    - `timezone`: of a moment without an offset, such as Europe/Oslo. The default is UTC.
    - `currency`: of an amount, as a constant or a pointer relative to the same object.
    - `default`: the value of a field that is absent or null.
    """

    pointer: Pointer | None = None
    as_: Conversion | None = None
    scale: Literal[10, 100, 1_000, 10_000, 100_000, 1_000_000] | None = None
    timezone: (
        Annotated[str, Meta(min_length=1, max_length=64, description="a time zone such as Europe/Oslo")] | None
    ) = None
    currency: CurrencyOrPointer | None = None
    default: Any = UNSET


FieldPointers = dict[str, Pointer | FieldPointer]
"""The pointers of the fields of a record, by the path of the field."""
