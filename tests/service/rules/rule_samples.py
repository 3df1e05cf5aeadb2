"""What the tests of the rules share: small records, subjects, and ways to ask one condition."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from service.actions import load_actions
from service.config.strict_yaml import parse_yaml
from service.events import ChangeType, Event, RecordRef
from service.records import Customer, Line, Money, PurchaseOrder, Supplier
from service.rules import Rule, Rulebook, Subject, Trace, write_document
from service.rules.compiler.conditions import NodeLimit, NodePath
from service.rules.compiler.quantifiers import compile_condition
from service.rules.fields import Field, FieldScope
from service.rules.scope import Scope
from service.rules.syntax import Condition
from service.rules.trace import Truth

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def event(change: ChangeType = "updated", source: str = "pack-orders") -> Event:
    record = RecordRef("pack", "purchase_order", "po_1")
    return Event(1, "e1", source, "order.updated", change, record, None, {"secret": "s"}, None, b"{}")


def line(ordered: Any = 5, received: Any = 5, price: str = "10.00", currency: str = "EUR", **words: Any) -> Line:
    money = Money(Decimal(price), currency)
    return Line(quantity_ordered=ordered, quantity_received=received, price=money, **words)


def order(**words: Any) -> PurchaseOrder:
    known: dict[str, Any] = {
        "id": "po_1",
        "reference": "PO-1",
        "status": "received",
        "supplier": Supplier(id="s1", name="Acme"),
        "lines": (line(5, 5, product_code="A-1"), line(10, 7, product_code="B-2")),
        "created_at": datetime(2026, 2, 1, tzinfo=UTC),
    }
    return PurchaseOrder(**(known | words))


def customer(**words: Any) -> Customer:
    known: dict[str, Any] = {"id": "c1", "email": "ann@example.org", "first_name": "Ann", "tags": ("vip", "eu")}
    return Customer(**(known | words))


def subject(
    record: PurchaseOrder | Customer | None = None,
    raw: Any = None,
    previous: Mapping[str, Any] | None = None,
    *,
    change: ChangeType = "updated",
    source: str = "pack-orders",
) -> Subject:
    return Subject(event(change, source), record or order(), raw, previous)


class Asked(Struct, frozen=True):
    """A compiled condition and what it asks of `previous`."""

    run: Any
    asked: dict[str, Field]

    def truth(self, about: Subject, now: datetime = NOW, trace: Trace | None = None) -> Truth:
        scope = Scope.of(about, now)
        return self.run(scope, scope, trace)


def compile_tree(tree: Mapping[str, Any], record: type[PurchaseOrder | Customer] = PurchaseOrder) -> Asked:
    place = FieldScope(record, {})
    test = compile_condition(msgspec.convert(tree, Condition), place, NodePath("rules[0]", "when", NodeLimit()))
    return Asked(test.run, place.asked)


def truth(tree: Mapping[str, Any], about: Subject | None = None, now: datetime = NOW) -> Truth:
    """Ask one condition, with and without a trace, which have to agree."""
    about = about or subject()
    asked = compile_tree(tree, type(about.record))
    answer = asked.truth(about, now)
    assert asked.truth(about, now, Trace()) is answer
    return answer


def rules_of(text: str) -> tuple[Rule, ...]:
    return msgspec.convert(parse_yaml(text, "test"), tuple[Rule, ...])


def book(text: str) -> Rulebook:
    return Rulebook.load(write_document(rules_of(text)), load_actions())
