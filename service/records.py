"""The full record, in our own shape: what rules may ask about. Platforms decode their answers into these.

Absent, null and empty stay three things: a field the platform did not send is UNSET, one it sent as null is None. Money
is Decimal with a currency, moments are aware datetimes, ids are text, quantities whole numbers or Decimals. What has
no field here stays reachable to rules under `raw.`.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

from msgspec import UNSET, Struct, UnsetType

Quantity = int | Decimal
Text = str | UnsetType | None
Timestamp = datetime | UnsetType | None


class Money(Struct, frozen=True):
    """An amount in one currency (ISO 4217, upper case)."""

    value: Decimal
    currency: str


class Address(Struct, frozen=True, kw_only=True):
    """A postal address; every part as the platform gave it."""

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
    """One line of a purchase order; `price` is per item."""

    id: Text = UNSET
    product_id: Text = UNSET
    product_code: Text = UNSET
    product_name: Text = UNSET
    price: Money | UnsetType | None = UNSET
    quantity_ordered: Quantity | UnsetType | None = UNSET
    quantity_received: Quantity | UnsetType | None = UNSET

    @property
    def quantity_missing(self) -> Quantity | UnsetType:
        """How many units were ordered but not received; never below zero."""
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
    """Who the goods are ordered from."""

    id: Text = UNSET
    name: Text = UNSET
    reference: Text = UNSET


class PurchaseOrder(Struct, frozen=True, kw_only=True):
    """An order placed with a supplier."""

    id: str
    reference: Text = UNSET
    status: Text = UNSET
    supplier: Supplier | UnsetType | None = UNSET
    lines: tuple[Line, ...] | UnsetType | None = UNSET
    created_at: Timestamp = UNSET
    updated_at: Timestamp = UNSET
    deleted_at: Timestamp = UNSET

    @property
    def total(self) -> Money | UnsetType:
        """The sum of all lines; UNSET where a line lacks its price or quantity, or two lines differ in currency."""
        if not self.lines:
            return UNSET
        try:
            return _total_of_units(self.lines)
        except (AttributeError, TypeError, IndexError):  # something absent, or a quantity that is not a small number
            return _total(self.lines)

    @property
    def quantity_ordered(self) -> Quantity | UnsetType:
        """Units ordered, over all lines."""
        return _sum(self.lines, "quantity_ordered")

    @property
    def quantity_received(self) -> Quantity | UnsetType:
        """Units received, over all lines."""
        return _sum(self.lines, "quantity_received")

    @property
    def quantity_missing(self) -> Quantity | UnsetType:
        """Units ordered but not received, over all lines; what one line has too much does not make up for another."""
        if self.lines is None or self.lines is UNSET:
            return UNSET
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
        """How many lines there are."""
        return len(self.lines) if self.lines is not None and self.lines is not UNSET else UNSET


class Customer(Struct, frozen=True, kw_only=True):
    """A person or company that buys."""

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


Record = PurchaseOrder | Customer

RECORDS: dict[str, type[PurchaseOrder] | type[Customer]] = {"purchase_order": PurchaseOrder, "customer": Customer}
"""The kinds of record, which are also the rule types."""

PERSONAL = frozenset({
    "company_name", "name", "first_name", "last_name", "email", "phone",
    "street", "house_number", "postal_code", "city", "vat_number",
})  # fmt: skip
"""Field names that hold personal data: masked in traces, log messages and what `previous` keeps."""


_UNITS = tuple(Decimal(units) for units in range(1_000))
"""Multiplying by these takes half as long as by whole numbers, which are made into Decimals at each product."""


def _total_of_units(lines: tuple[Any, ...]) -> Money | UnsetType:
    """Add up lines whose quantities are whole numbers below 1,000, as nearly all are; to the digit as `_total` does.

    Raises:
        AttributeError, TypeError, IndexError: some line is not like that.
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
    for line in lines:  # not by `line.total`: a call and a Money for each line would take twice as long
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
