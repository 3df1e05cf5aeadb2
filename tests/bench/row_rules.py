"""Row `rules`: microseconds of one evaluation of the reference rule, and of rules of other records."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from service.actions import load_actions
from service.rules import Evidence, Rulebook, Subject
from service.rules.compiler.rule import actions_by_name, compile_rule
from service.rules.rulebook_document import parse_document
from service.rules.scope import Scope
from tests.bench.material import OTHER_RULE, REFERENCE_RULE, decoded_order, order_json, stored_event
from tests.bench.seeding import rule_document
from tests.bench.stage import Stage
from tests.bench.table import Line, middle, within

SAMPLES = 7
LIST_RULES, LIST_LINES = 1_000, 5_000
SEVERAL = (
    "{any_of: lines, where: {all: [{field: quantity_received, op: lt, value: 8}, "
    '{field: price.value, op: gt, value: "VALUE"}, {field: product_code, op: ne, value: SKU-00001}]}}'
)
ANY_NOT = (
    "{all_of: lines, where: {any: [{field: quantity_ordered, op: lt, value: VALUE}, "
    "{not: {field: quantity_received, op: le, ref: quantity_ordered}}]}}"
)
COUNT_SEVERAL = (
    "{count: lines, where: {all: [{field: quantity_received, op: lt, value: 10}, "
    "{field: product_code, op: in, value: [SKU-00009, SKU-VALUE]}]}, op: ge, value: 2}"
)
LIST_CONDITIONS = {
    "number": ("{any_of: lines, where: {field: quantity_received, op: lt, value: VALUE}}", "8", "7"),
    "two fields": ("{any_of: lines, where: {field: quantity_received, op: VALUE, ref: quantity_ordered}}", "lt", "gt"),
    "amount": ('{any_of: lines, where: {field: price.value, op: gt, value: "VALUE"}}', "12.49", "12.50"),
    "text": ("{any_of: lines, where: {field: product_code, op: eq, value: SKU-VALUE}}", "04999", "09999"),
    "all": ("{all_of: lines, where: {field: quantity_ordered, op: ge, value: VALUE}}", "10", "11"),
    "several": (SEVERAL, "12.00", "12.50"),
    "any and not": (ANY_NOT, "11", "10"),
    "count of several": (COUNT_SEVERAL, "00004", "09999"),
    "count": (
        "{count: lines, where: {field: quantity_received, op: lt, value: 10}, op: ge, value: VALUE}",
        "1000",
        "1001",
    ),
}
"""A condition on a list by its name, with a value for which it is true and one for which it is false."""
OTHERS = 990


def measure(stage: Stage, repeats: int, *, quick: bool) -> list[Line]:
    """Evaluate in this process; best of several loops, in turn."""
    _ = stage
    loops = 1_000 if quick else 4_000
    reference = _book(REFERENCE_RULE)
    ten = "".join(_other(number, applies=True) for number in range(10))
    few = _book(ten)
    many = _book(ten + "".join(_other(number, applies=False) for number in range(10, 10 + OTHERS)))
    times: dict[str, list[float]] = {"asked": [], "anew": [], "rendered": [], "few": [], "many": []}
    for _ in range(max(repeats, 1)):
        times["asked"].append(_conditions(loops, derived=True))
        times["anew"].append(_conditions(loops, derived=False))
        times["rendered"].append(_microseconds(reference, loops, previous="ordered"))
        times["few"].append(_microseconds(few, loops))
        times["many"].append(_microseconds(many, loops))
    asked, anew, rendered, few_us, many_us = (middle(each) for each in times.values())
    lists_ms = _list_rules_ms()
    return [
        within(
            "rules: the conditions of the reference rule over 30 lines",
            asked,
            "us",
            4,
            "every condition asked and true, without a trace; the order's total is known, as for all rules but the "
            "first that asks for it",
        ),
        within(
            "rules: the same, and the total of 30 lines added up for it",
            anew,
            "us",
            4,
            f"with the scope made, the verdict and the rendered action: {rendered:.1f} us",
        ),
        within(
            "rules: 1,000 of which 10 apply, against those 10",
            many_us / few_us,
            "times",
            1.3,
            f"{few_us:.1f} us -> {many_us:.1f} us",
        ),
        within(
            f"rules: {LIST_RULES:,} list rules on {LIST_LINES:,} lines, a fifth of them true",
            max(lists_ms.values()),
            "ms",
            10,
            "with evidence; " + ", ".join(f"{name} {ms:.1f} ms" for name, ms in lists_ms.items()),
        ),
    ]


def _list_rules_ms() -> dict[str, float]:
    """Return the milliseconds of CPU for one decision by rules on a list, by the kind of their comparison."""
    order, now = decoded_order("po-1", LIST_LINES), datetime.now(UTC)
    found: dict[str, float] = {}
    for name, (when, true, false) in LIST_CONDITIONS.items():
        values = [false if number % 5 else true for number in range(LIST_RULES)]
        rules = "".join(
            f"- {{id: r{number}, type: purchase_order, when: {when.replace('VALUE', value)}}}\n"
            for number, value in enumerate(values)
        )
        book, milliseconds = _book(rules), list[float]()
        for _ in range(SAMPLES):
            began, evidence = time.process_time(), Evidence()
            evaluation = book.evaluate(Subject(stored_event(1), order, {}), now, evidence)
            evidence.by_rule()
            milliseconds.append((time.process_time() - began) * 1_000)
            assert sum(verdict.result == "matched" for verdict in evaluation.verdicts) == LIST_RULES // 5
        found[name] = min(milliseconds)
    return found


def _conditions(loops: int, *, derived: bool) -> float:
    """Evaluate all conditions of the reference rule without a trace. All are true, so all are evaluated."""
    order, raw, event = decoded_order("po-1"), msgspec.json.decode(order_json("po-1")), stored_event(1)
    scope = Scope.of(Subject(event, order, raw, {"status": "ordered"}), datetime.now(UTC))
    [rule] = parse_document(rule_document(REFERENCE_RULE)).rules
    when = compile_rule(rule, actions_by_name(load_actions()), "rule").when
    assert when is not None
    assert when(scope, scope, None) is True

    def ask() -> None:
        if not derived:
            scope.known.clear()
        when(scope, scope, None)

    return min(_loop(ask, loops // SAMPLES + 1) for _ in range(SAMPLES))


def _microseconds(book: Rulebook, loops: int, previous: str = "ordered") -> float:
    order, raw, event = decoded_order("po-1"), msgspec.json.decode(order_json("po-1")), stored_event(1)
    now = datetime.now(UTC)

    def evaluate() -> None:
        # A fresh subject each time: what is derived once per event has to be derived again.
        book.evaluate(Subject(event, order, raw, {"status": previous}), now)

    return min(_loop(evaluate, loops // SAMPLES + 1) for _ in range(SAMPLES))


def _loop(evaluate: Callable[[], None], loops: int) -> float:
    began = time.perf_counter()
    for _ in range(loops):
        evaluate()
    return (time.perf_counter() - began) / loops * 1_000_000


def _book(rules: str) -> Rulebook:
    return Rulebook.load(rule_document(rules), load_actions())


def _other(number: int, *, applies: bool) -> str:
    sources = "" if applies else "  sources: [somebody-else]\n"
    text = OTHER_RULE.replace("SINK", "https://erp.example.com/claims").replace("value: NUMBER00", "value: 5000")
    return text.replace("other-NUMBER", f"other-{number}").replace("  when:", f"{sources}  when:", 1)
