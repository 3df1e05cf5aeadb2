"""Samples for the tests of rules: small records, subjects, and evaluation of one condition."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from service.actions import load_actions
from service.config.strict_yaml import parse_yaml
from service.events import ChangeType, Event, RecordRef
from service.records import Customer, Line, Money, PurchaseOrder, RecordType, Supplier
from service.rules import Rule, Rulebook, Subject, Trace, write_document
from service.rules.compiler.conditions import NodeLimit, NodePath
from service.rules.compiler.quantifiers import compile_condition
from service.rules.fields import Field, FieldScope
from service.rules.scope import Scope
from service.rules.syntax import Condition
from service.rules.trace import Truth

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def event(change: ChangeType = "updated", source: str = "pack-orders", kind: str = "purchase_order") -> Event:
    record = RecordRef("pack", kind, "po_1")
    return Event(1, "e1", source, "order.updated", change, record, None, {"secret": "s"}, None, b"{}")


def line(ordered: Any = 5, received: Any = 5, price: str = "10.00", currency: str = "EUR", **fields: Any) -> Line:
    money = Money(Decimal(price), currency)
    return Line(quantity_ordered=ordered, quantity_received=received, price=money, **fields)


def order(**fields: Any) -> PurchaseOrder:
    defaults: dict[str, Any] = {
        "id": "po_1",
        "reference": "PO-1",
        "status": "received",
        "supplier": Supplier(id="s1", name="Acme"),
        "lines": (line(5, 5, product_code="A-1"), line(10, 7, product_code="B-2")),
        "created_at": datetime(2026, 2, 1, tzinfo=UTC),
    }
    return PurchaseOrder(**(defaults | fields))


def customer(**fields: Any) -> Customer:
    defaults: dict[str, Any] = {"id": "c1", "email": "ann@example.org", "first_name": "Ann", "tags": ("vip", "eu")}
    return Customer(**(defaults | fields))


def subject(
    record: PurchaseOrder | Customer | None = None,
    raw: Any = None,
    previous: Mapping[str, Any] | None = None,
    *,
    change: ChangeType = "updated",
    source: str = "pack-orders",
) -> Subject:
    kind = "customer" if isinstance(record, Customer) else "purchase_order"
    return Subject(event(change, source, kind), record or order(), raw, previous)


class CompiledTree(Struct, frozen=True):
    """A compiled condition and the fields that it compares with `previous`."""

    run: Any
    previous_fields: dict[str, Field]

    def truth(self, evaluated: Subject, now: datetime = NOW, trace: Trace | None = None) -> Truth:
        scope = Scope.of(evaluated, now)
        return self.run(scope, scope, trace)


def compile_tree(tree: Mapping[str, Any], record: RecordType = PurchaseOrder) -> CompiledTree:
    fields = FieldScope(record, {})
    test = compile_condition(msgspec.convert(tree, Condition), fields, NodePath("rules[0]", "when", NodeLimit()))
    return CompiledTree(test.run, fields.previous_fields)


def truth(tree: Mapping[str, Any], evaluated: Subject | None = None, now: datetime = NOW) -> Truth:
    """Evaluate one condition with and without a trace, and check that both results are equal."""
    evaluated = evaluated or subject()
    compiled = compile_tree(tree, type(evaluated.record))
    result = compiled.truth(evaluated, now)
    assert compiled.truth(evaluated, now, Trace()) is result
    return result


def rules_of(text: str) -> tuple[Rule, ...]:
    return msgspec.convert(parse_yaml(text, "test"), tuple[Rule, ...])


def load_rulebook(document: bytes) -> Rulebook:
    return Rulebook.load(document, load_actions())


def book(text: str) -> Rulebook:
    return load_rulebook(write_document(rules_of(text)))
