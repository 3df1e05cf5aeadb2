"""Records: purchase order and customer, independent of the platform, and the base of declared records.

Connectors decode responses into these types. `service.config.record_kinds` builds the types of declared kinds.

An absent field is UNSET, a null field is None. Money is a Decimal with a currency, timestamps are aware datetimes, ids
are text, quantities are integers or Decimals. Rules can read other fields of the response under `raw.`.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, ClassVar

from msgspec import UNSET, Struct, UnsetType, field

from service.events import EVENT_KIND

Quantity = int | Decimal
Text = str | UnsetType | None
Timestamp = datetime | UnsetType | None


class Money(Struct, frozen=True):
    """Amount in one currency (ISO 4217, upper case)."""

    value: Decimal
    currency: str


class Address(Struct, frozen=True, kw_only=True):
    """Postal address, unchanged from the platform."""

    company_name: Text = UNSET
    name: Text = UNSET
    street: Text = UNSET
    house_number: Text = UNSET
    postal_code: Text = UNSET
    city: Text = UNSET
    state_code: Text = UNSET
    country_code: Text = UNSET
    email: Text = UNSET
    phone: Text = UNSET


class Line(Struct, frozen=True, kw_only=True):
    """Line of a purchase order. `price` is the price of one unit."""

    id: Text = UNSET
    product_id: Text = UNSET
    product_code: Text = UNSET
    product_name: Text = UNSET
    price: Money | UnsetType | None = UNSET
    quantity_ordered: Quantity | UnsetType | None = UNSET
    quantity_received: Quantity | UnsetType | None = UNSET

    @property
    def quantity_missing(self) -> Quantity | UnsetType:
        """Units ordered and not received; never negative."""
        ordered, received = self.quantity_ordered, self.quantity_received
        if ordered is UNSET or ordered is None or received is UNSET or received is None:
            return UNSET
        return max(ordered - received, 0)

    @property
    def total(self) -> Money | UnsetType:
        """Price times quantity ordered."""
        price, ordered = self.price, self.quantity_ordered
        if price is UNSET or price is None or ordered is UNSET or ordered is None:
            return UNSET
        return Money(price.value * ordered, price.currency)


class Supplier(Struct, frozen=True, kw_only=True):
    """Supplier of a purchase order."""

    id: Text = UNSET
    name: Text = UNSET
    reference: Text = UNSET


class OrderCustomer(Struct, frozen=True, kw_only=True):
    """Customer that an order names. Only `customer` of a `map` sets it."""

    id: Text = UNSET
    name: Text = UNSET
    reference: Text = UNSET


class PurchaseOrder(Struct, frozen=True, kw_only=True):
    """Order placed with a supplier.

    A total or quantity is the platform's own if `map` has a pointer for it. Otherwise it is derived from the lines.
    """

    id: str
    reference: Text = UNSET
    status: Text = UNSET
    supplier: Supplier | UnsetType | None = UNSET
    lines: tuple[Line, ...] | UnsetType | None = UNSET
    created_at: Timestamp = UNSET
    updated_at: Timestamp = UNSET
    deleted_at: Timestamp = UNSET
    customer: OrderCustomer | UnsetType | None = UNSET
    _total: Money | UnsetType | None = field(default=UNSET, name="total")
    _quantity_ordered: Quantity | UnsetType | None = field(default=UNSET, name="quantity_ordered")
    _quantity_received: Quantity | UnsetType | None = field(default=UNSET, name="quantity_received")

    @property
    def total(self) -> Money | UnsetType | None:
        """Own total, or the sum of all lines; UNSET if a price or quantity is absent, or the currencies differ."""
        if self._total is not UNSET:
            return self._total
        if not self.lines:
            return UNSET
        try:
            return _total_of_units(self.lines)
        except (AttributeError, TypeError, IndexError):  # an absent value, or a quantity that is not a small integer
            return _total(self.lines)

    @property
    def quantity_ordered(self) -> Quantity | UnsetType | None:
        """Units ordered, in all lines."""
        return _sum(self.lines, "quantity_ordered") if self._quantity_ordered is UNSET else self._quantity_ordered

    @property
    def quantity_received(self) -> Quantity | UnsetType | None:
        """Units received, in all lines."""
        return _sum(self.lines, "quantity_received") if self._quantity_received is UNSET else self._quantity_received

    @property
    def quantity_missing(self) -> Quantity | UnsetType:
        """Units ordered and not received, in all lines. Excess units of one line do not reduce the number."""
        if self.lines is None or self.lines is UNSET:
            ordered, received = self._quantity_ordered, self._quantity_received
            if ordered is UNSET or ordered is None or received is UNSET or received is None:
                return UNSET
            return max(ordered - received, 0)
        missing: Quantity = 0
        for line in self.lines:
            ordered, received = line.quantity_ordered, line.quantity_received
            if ordered is UNSET or ordered is None or received is UNSET or received is None:
                return UNSET
            if ordered > received:
                missing += ordered - received
        return missing

    @property
    def lines_count(self) -> int | UnsetType:
        """Number of lines."""
        return len(self.lines) if self.lines is not None and self.lines is not UNSET else UNSET


class Customer(Struct, frozen=True, kw_only=True):
    """Person or company that buys."""

    id: str
    reference: Text = UNSET
    external_id: Text = UNSET
    type: Text = UNSET
    company_name: Text = UNSET
    first_name: Text = UNSET
    last_name: Text = UNSET
    email: Text = UNSET
    phone: Text = UNSET
    language: Text = UNSET
    vat_number: Text = UNSET
    tags: tuple[str, ...] | UnsetType | None = UNSET
    billing_address: Address | UnsetType | None = UNSET
    shipping_address: Address | UnsetType | None = UNSET
    balance: Money | UnsetType | None = UNSET
    orders_count: Quantity | UnsetType | None = UNSET
    created_at: Timestamp = UNSET
    updated_at: Timestamp = UNSET
    deleted_at: Timestamp = UNSET


class EventRecord(Struct, frozen=True, kw_only=True):
    """Record of an event of a source without a platform. It has no state: rules read `event.` and `delivery.`."""

    updated_at: ClassVar[Timestamp] = UNSET
    deleted_at: ClassVar[Timestamp] = UNSET

    id: str


class DeclaredPart(Struct, frozen=True, kw_only=True):
    """Object or list element of a declared record."""

    personal_fields: ClassVar[frozenset[str]] = frozenset()
    """Fields that are declared as personal, beside those of `PERSONAL`."""
    required_fields: ClassVar[tuple[str, ...]] = ()
    nested_fields: ClassVar[tuple[str, ...]] = ()
    """Objects and lists of objects with required fields inside."""


class DeclaredRecord(DeclaredPart, frozen=True, kw_only=True):
    """Record of a declared kind. The types of the kinds are built from `records` in waybill.yaml."""

    enum_values: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """The declared values by path of a field; `[]` stands for an element of a list."""

    id: str
    created_at: Timestamp = UNSET
    updated_at: Timestamp = UNSET
    deleted_at: Timestamp = UNSET


OWN_FIELDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"purchase_order": ("total", "quantity_ordered", "quantity_received", "customer"), "customer": ()}
)
"""Fields that no connector of a built-in platform reads, so that only `map` gives them a pointer."""

Record = PurchaseOrder | Customer | EventRecord | DeclaredRecord

RecordType = type[PurchaseOrder] | type[Customer] | type[EventRecord] | type[DeclaredRecord]
RecordTypes = Mapping[str, RecordType]
"""The types of records by kind: the built-in ones, and those of `records` in waybill.yaml."""

KnownRecords = Mapping[str, RecordType | None]
"""The types of records; None for a declared kind with mistakes of its own."""

RECORDS: RecordTypes = MappingProxyType({
    "purchase_order": PurchaseOrder, "customer": Customer, EVENT_KIND: EventRecord,
})  # fmt: skip
"""Built-in record kinds."""

PERSONAL = frozenset({
    "company_name", "name", "first_name", "last_name", "email", "phone",
    "street", "house_number", "postal_code", "city", "vat_number",
})  # fmt: skip
"""Fields with personal data: masked in traces, in log messages and in the stored fields of `previous`."""


_UNITS = tuple(Decimal(units) for units in range(1_000))
"""Decimals of small integers. Multiplying by a Decimal takes half the time of multiplying by an integer."""


def _total_of_units(lines: tuple[Any, ...]) -> Money | UnsetType:
    """Return the total of lines whose quantities are integers below 1,000. The result is that of `_total`.

    Raises:
        AttributeError: A price or quantity is absent.
        TypeError: A quantity is not an integer.
        IndexError: A quantity is negative or too large.
    """
    units: Any = _UNITS
    value: Any = _UNITS[0]
    currency: str = lines[0].price.currency
    for line in lines:
        price, ordered = line.price, line.quantity_ordered
        if ordered < 0:
            raise IndexError
        if price.currency != currency:
            return UNSET
        value += price.value * units[ordered]
    return Money(value, currency)


def _total(lines: tuple[Line, ...]) -> Money | UnsetType:
    value, currency = Decimal(0), ""
    for line in lines:  # inlined: `line.total` takes twice as long
        price, ordered = line.price, line.quantity_ordered
        if price is UNSET or price is None or ordered is UNSET or ordered is None:
            return UNSET
        if price.currency != currency:
            if currency:
                return UNSET
            currency = price.currency
        value += price.value * ordered
    return Money(value, currency)


def _sum(lines: tuple[Line, ...] | UnsetType | None, field: str) -> Quantity | UnsetType:
    if lines is None or lines is UNSET:
        return UNSET
    total: Quantity = 0
    for line in lines:
        value: Quantity | UnsetType | None = getattr(line, field)
        if value is None or value is UNSET:
            return UNSET
        total += value
    return total
