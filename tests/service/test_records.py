"""Totals of purchase orders, compared with their lines."""

from decimal import Decimal
from typing import cast

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType

from service.records import Line, Money, PurchaseOrder, Quantity

quantities = st.sampled_from([0, 1, 5, -3, 999, 1_000, Decimal("2.5"), Decimal("5.0"), UNSET, None])
amounts = [Decimal(1), Decimal("12.50"), Decimal("-0.001"), Decimal("1E+3"), Decimal("9" * 28)]
prices = st.builds(Money, st.sampled_from(amounts), st.sampled_from(["EUR", "EUR", "USD"]))
lines = st.builds(
    Line, price=prices | st.sampled_from([UNSET, None]), quantity_ordered=quantities, quantity_received=quantities
)
orders = st.builds(PurchaseOrder, id=st.just("1"), lines=st.lists(lines, max_size=4).map(tuple))


@given(order=orders)
def test_order_total_is_the_sum_of_line_totals(order: PurchaseOrder) -> None:
    assert isinstance(order.lines, tuple)
    totals = [line.total for line in order.lines]
    known = [total for total in totals if total is not UNSET]
    currencies = {total.currency for total in known}
    if not totals or len(known) < len(totals) or len(currencies) > 1:
        assert order.total is UNSET
    else:
        value = sum((total.value for total in known), Decimal(0))
        assert order.total == Money(value, currencies.pop())
        assert str(cast("Money", order.total).value) == str(value)  # the same digits and exponent too


@given(order=orders)
def test_missing_quantity_of_an_order_is_the_sum_of_its_lines(order: PurchaseOrder) -> None:
    assert isinstance(order.lines, tuple)
    missing: list[Quantity | UnsetType] = [line.quantity_missing for line in order.lines]
    expected = UNSET if UNSET in missing else sum(each for each in missing if each is not UNSET)
    assert order.quantity_missing == expected
