"""Ten rules of the other side over a fetched order, in Python."""

from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct


class Price(Struct):
    """An amount."""

    value: Decimal
    currency: str


class OrderLine(Struct):
    """Fields of a line that the rules use."""

    price: Price
    quantity_ordered: int
    quantity_received: int


class Order(Struct):
    """Fields of an order that the rules use."""

    id: str
    status: str
    lines: list[OrderLine]


decode_order = msgspec.json.Decoder(Order).decode


def evaluate(order: Order) -> list[dict[str, Any]]:
    """Return the bodies of the effects."""
    effects: list[dict[str, Any]] = []
    received = order.status == "received"
    total = sum((line.price.value * line.quantity_ordered for line in order.lines), Decimal(0))
    if received and total > 100 and any(line.quantity_received < line.quantity_ordered for line in order.lines):
        missing = sum(max(line.quantity_ordered - line.quantity_received, 0) for line in order.lines)
        effects.append({"order": order.id, "missing": missing})
    for number in range(1, 10):
        limit = number * 100
        if received and any(line.quantity_ordered > limit for line in order.lines):
            effects.append({"order": order.id})
    return effects
