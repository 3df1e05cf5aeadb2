"""Look-ups of rules: mistakes at load, which records a result depends on, and how conditions read them."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from service.actions import load_actions
from service.config.record_kinds import RecordKindConfig, build_record_types
from service.errors import ConfigError
from service.events import RecordRef
from service.management.dry_run_result import dry_run_subject
from service.records import Supplier
from service.rules import Evaluation, Evidence, Rulebook, Subject, Trace, limits, write_document
from service.rules.compiler.rule import actions_by_name, compile_rule
from service.rules.lookups import MISSING, LookedUpRecord, Lookups
from tests.service.rules.rule_samples import NOW, line, order, rules_of, subject

KINDS = {"supplier": {"fields": {"name": "text", "rating": "integer", "tags": {"list": "text"}}}}
RECORD_TYPES, _ = build_record_types(msgspec.convert(KINDS, dict[str, RecordKindConfig]))
SUPPLIER = {"supplier": {"kind": "supplier", "id": "{supplier.id}"}}
LOW = {"field": "supplier.rating", "op": "lt", "value": 3}


def rule(**fields: Any) -> dict[str, Any]:
    log = {"id": "log", "do": "log", "message": "{id}"}
    return {"id": "r", "type": "purchase_order", "with": SUPPLIER, "when": LOW, "actions": [log], **fields}


def load(*rules: Mapping[str, Any]) -> Rulebook:
    return Rulebook.load(write_document(rules_of(msgspec.json.encode(rules).decode())), load_actions(), RECORD_TYPES)


def mistakes_of(**fields: Any) -> list[str]:
    (written,) = rules_of(msgspec.json.encode([rule(**fields)]).decode())
    with pytest.raises(ConfigError) as caught:
        compile_rule(written, actions_by_name(load_actions()), "rule", RECORD_TYPES)
    return [str(mistake) for mistake in caught.value.mistakes]


def supplier(record_id: str = "s1", **fields: Any) -> LookedUpRecord:
    record = msgspec.convert({"id": record_id, **fields}, RECORD_TYPES["supplier"])
    return LookedUpRecord(ref=RecordRef("pack", "supplier", record_id), record=record)


def evaluate(
    rulebook: Rulebook, *found: LookedUpRecord, about: Subject | None = None, is_complete: bool = False, **options: Any
) -> Evaluation:
    lookups = Lookups({each.ref.lane: each for each in found}, is_complete=is_complete)
    about = about or subject(order())
    return rulebook.evaluate(msgspec.structs.replace(about, lookups=lookups, known={}), NOW, **options)


def result(evaluation: Evaluation) -> tuple[str, str | None]:
    assert not evaluation.pending
    (verdict,) = evaluation.verdicts
    return verdict.result, verdict.reason


@pytest.mark.parametrize(
    ("lookups", "mistake"),
    [
        (
            {"supplier": {"kind": "suplier", "id": "x"}},
            "with.supplier.kind: no record kind 'suplier'. Fix: did you mean",
        ),
        ({"raw": {"kind": "supplier", "id": "x"}}, "with.raw: 'raw' cannot be the name of a look-up"),
        ({"Big": {"kind": "supplier", "id": "x"}}, "with.Big: 'Big' cannot be the name of a look-up"),
        ({"s": {"kind": "supplier", "id": "{s.id}"}}, "with.s.id: is a cycle: it reads s, which it looks up"),
        (
            {"a": {"kind": "supplier", "id": "{b.id}"}, "b": {"kind": "supplier", "id": "{a.id}"}},
            "with.a.id: is a cycle: a reads b, and b reads a",
        ),
        (
            {"a": {"kind": "supplier", "id": "{b.id}"}, "b": {"kind": "supplier", "id": "{id}"}},
            "with.a.id: reads the looked-up record b, and look-ups have depth 1",
        ),
        (
            {"s": {"kind": "supplier", "id": "{suplier.id}"}},
            "with.s.id: no field 'suplier.id'. Fix: did you mean supplier?",
        ),
        ({"s": {"kind": "supplier", "id": "{lines}"}}, "with.s.id: lines is a list and cannot be inserted into text"),
        ({"s": {"kind": "supplier", "id": "x", "each": "status"}}, "with.s.each: status is not a list of the record"),
        ({"s": {"kind": "supplier", "id": "x", "elements_max": 3}}, "with.s.elements_max: requires each"),
        (
            {"s": {"kind": "supplier", "id": "{$root.id}", "each": "lines"}},
            "with.s.id: reads a field outside of the element",
        ),
        ({f"s{n}": {"kind": "supplier", "id": "x"} for n in range(9)}, "with: has more than 8 look-ups"),
    ],
)
def test_a_mistake_in_a_lookup_has_a_fix(lookups: dict[str, Any], mistake: str) -> None:
    found = mistakes_of(**{"with": lookups, "when": None})
    assert found[0].startswith(f"rule.{mistake}"), found
    assert "Fix: " in found[0]


@pytest.mark.parametrize(
    ("when", "mistake"),
    [
        ({"field": "supplier.ratin", "op": "lt", "value": 3}, "field: no field 'supplier.ratin'. Fix: did you mean"),
        ({"field": "supplier.zz", "op": "lt", "value": 3}, "field: no field 'supplier.zz'. Fix: use one of "),
        ({"field": "supplier.name", "op": "lt", "value": 3}, "op: lt does not work on supplier.name, a text"),
        ({"field": "supplier.rating", "op": "changed"}, "field: only the event's own record has a previous state"),
        ({"field": "previous.supplier.rating", "op": "exists"}, "field: only the record has a previous state"),
        ({"field": "supplier.rating", "op": "lt", "ref": "status"}, "ref: status is a text and cannot be compared"),
    ],
)  # fmt: skip
def test_fields_of_a_looked_up_record_are_checked_by_its_kind(when: dict[str, Any], mistake: str) -> None:
    assert mistakes_of(when=when)[0].startswith(f"rule.when.{mistake}"), mistakes_of(when=when)


def test_a_lookup_that_nothing_reads_is_a_mistake() -> None:
    (mistake,) = mistakes_of(when={"field": "status", "op": "exists"})
    assert mistake.startswith("rule.with.supplier: is not read by when or actions. Fix: remove it")


def test_a_list_of_looked_up_records_is_no_record() -> None:
    lookups = {"items": {"kind": "supplier", "id": "{product_id}", "each": "lines"}}
    (mistake,) = mistakes_of(**{"with": lookups, "when": {"field": "items.rating", "op": "exists"}})
    assert mistake == "rule.when.field: items is a list. Fix: use any_of: items, and record.rating"


def test_a_result_waits_for_the_record_that_it_depends_on() -> None:
    rulebook = load(rule())
    (request,) = evaluate(rulebook).pending
    assert (request.ref, request.retries) == (RecordRef("pack", "supplier", "s1"), True)
    assert result(evaluate(rulebook, supplier(rating=2))) == ("matched", None)
    assert result(evaluate(rulebook, supplier(rating=3))) == ("unmatched", None)


@pytest.mark.parametrize("branch", ["all", "any"])
def test_a_condition_that_settles_the_result_saves_the_lookup(branch: str) -> None:
    settling = {"field": "status", "op": "eq" if branch == "any" else "ne", "value": "received"}
    rulebook = load(rule(when={branch: [LOW, settling]}))
    for trace in (None, Evidence()):
        expected = "matched" if branch == "any" else "unmatched"
        assert result(evaluate(rulebook, trace=trace)) == (expected, None)


def test_a_stopping_rule_that_is_open_delays_the_lookups_of_later_rules() -> None:
    first = rule(id="a", stop=True)
    second = rule(
        id="b", **{"with": {"other": {"kind": "supplier", "id": "other"}}}, when={**LOW, "field": "other.rating"}
    )
    rulebook = load(first, second)
    assert [each.ref.id for each in evaluate(rulebook).pending] == ["s1"]
    assert evaluate(rulebook, supplier(rating=2)).pending == ()
    assert [each.ref.id for each in evaluate(rulebook, supplier(rating=5)).pending] == ["other"]


def test_a_rule_of_another_source_or_change_requests_nothing() -> None:
    assert evaluate(load(rule(sources=["other"]))).pending == ()
    assert evaluate(load(rule(events=["deleted"]))).pending == ()
    assert evaluate(load(rule(enabled=False))).pending == ()


def missing(error_kind: str = MISSING, *, is_final: bool = True) -> LookedUpRecord:
    ref = RecordRef("pack", "supplier", "s1")
    return LookedUpRecord(ref=ref, error_kind=error_kind, reason="no record", is_final=is_final)


@pytest.mark.parametrize("operator", ["exists", "missing"])
def test_every_comparison_with_a_missing_record_is_unknown(operator: str) -> None:
    rulebook = load(rule(when={"field": "supplier.rating", "op": operator}))
    assert result(evaluate(rulebook, missing())) == ("unknown", "supplier: no record, at when")
    assert result(evaluate(load(rule(on_unknown="error")), missing())) == ("error", "supplier: no record, at when")


def test_a_failed_lookup_is_an_error_after_its_retries_or_unknown_without_them() -> None:
    retried, unknown = (
        load(rule()),
        load(rule(**{"with": {"supplier": {**SUPPLIER["supplier"], "on_missing": "unknown"}}})),
    )
    failed = missing("timeout", is_final=False)
    assert len(evaluate(retried, failed).pending) == 1
    assert result(evaluate(retried, missing("timeout"))) == ("error", "supplier: no record")
    assert result(evaluate(unknown, failed)) == ("unknown", "supplier: no record, at when")


@pytest.mark.parametrize(
    ("settling", "expected"),
    [
        ({"any": [LOW, {"field": "status", "op": "eq", "value": "received"}]}, ("matched", None)),
        ({"all": [LOW, {"field": "status", "op": "ne", "value": "received"}]}, ("unmatched", None)),
        (LOW, ("error", "supplier: no record")),
        ({"any": [LOW, {**LOW, "field": "other.rating"}]}, ("error", "supplier: no record")),
    ],
)
def test_a_dry_run_decides_a_failed_lookup_like_the_worker(settling: Any, expected: tuple[str, str | None]) -> None:
    lookups = SUPPLIER | ({"other": {"kind": "supplier", "id": "s2"}} if "other" in str(settling) else {})
    rulebook, records = load(rule(when=settling, **{"with": lookups})), (missing("timeout"), supplier("s2", rating=1))
    assert result(evaluate(rulebook, *records, trace=Evidence())) == expected
    found = Lookups({each.ref.lane: each for each in records}, is_complete=True)
    run = dry_run_subject(rulebook, msgspec.structs.replace(subject(order()), lookups=found))
    assert (run.verdicts[0].result, run.verdicts[0].reason) == expected
    (failed,) = [step for step in run.steps if step.field == "supplier.rating"]
    assert (failed.result, failed.reason) == (None, "supplier: no record")


def test_a_record_without_the_id_needs_no_lookup() -> None:
    about = subject(order(supplier=None))
    assert result(evaluate(load(rule()), about=about)) == ("unknown", "supplier: supplier.id is missing, at when")
    long = subject(order(supplier=Supplier(id="s" * (limits.LOOKUP_ID_CHARS_MAX + 1))))
    assert result(evaluate(load(rule()), about=long))[1] == "supplier: its id is longer than 256 characters, at when"
    longest = subject(order(supplier=Supplier(id="s" * limits.LOOKUP_ID_CHARS_MAX)))
    assert len(evaluate(load(rule()), about=longest).pending) == 1


def test_templates_wait_for_their_records() -> None:
    actions = [{"id": "log", "do": "log", "message": "{supplier.rating} {lines.0.id}"}]
    rulebook = load(rule(when=None, actions=actions))
    assert len(evaluate(rulebook).pending) == 1
    (effect,) = evaluate(rulebook, supplier(rating=2)).effects
    assert effect.inputs["message"].startswith("2 ")
    assert result(evaluate(rulebook, missing())) == ("unknown", "action log: supplier: no record")
    lenient = load(rule(when=LOW, on_unknown="match", actions=actions))
    (effect,) = evaluate(lenient, missing()).effects
    assert effect.inputs["message"].startswith(" ")


def test_two_rules_with_one_name_for_different_records_do_not_share_values() -> None:
    other = {"supplier": {"kind": "supplier", "id": "s2"}}
    when = {"field": "supplier.tags | length", "op": "eq", "value": 1}
    rulebook = load(rule(id="a", when=when), rule(id="b", when=when, **{"with": other}))
    evaluation = evaluate(rulebook, supplier(tags=["x"]), supplier("s2", tags=[]))
    assert [verdict.result for verdict in evaluation.verdicts] == ["matched", "unmatched"]


def test_two_rules_request_one_record_once() -> None:
    rulebook = load(rule(id="a"), rule(id="b"))
    assert {each.ref.lane for each in evaluate(rulebook).pending} == {"pack:supplier:s1"}


EACH = {"items": {"kind": "supplier", "id": "{product_id}", "each": "lines", "elements_max": 2}}


def lines_of(*products: str) -> Subject:
    return subject(order(lines=tuple(line(5, 5, product_id=product) for product in products)))


def test_each_element_has_its_record() -> None:
    when = {"any_of": "items", "where": {"field": "element.quantity_ordered", "op": "gt", "ref": "record.rating"}}
    rulebook = load(rule(when=when, **{"with": EACH}))
    about = lines_of("p1", "p2")
    assert [each.ref.id for each in evaluate(rulebook, about=about).pending] == ["p1", "p2"]
    first, second = supplier("p1", rating=9), supplier("p2", rating=4)
    trace = Trace()
    assert result(evaluate(rulebook, first, second, about=about, trace=trace)) == ("matched", None)
    assert [step.result for step in trace.steps] == [False, True, True]
    gone = msgspec.structs.replace(missing(), ref=RecordRef("pack", "supplier", "p1"))
    assert result(evaluate(rulebook, gone, second, about=about)) == ("matched", None)
    assert result(evaluate(rulebook, gone, supplier("p2", rating=9), about=about)) == (
        "unknown",
        "items: no record, at when.any_of.where",
    )


def test_more_elements_than_allowed_are_unknown() -> None:
    when = {"any_of": "items", "where": {"field": "record.rating", "op": "lt", "value": 3}}
    rulebook = load(rule(when=when, **{"with": EACH}))
    assert len(evaluate(rulebook, about=lines_of("p1", "p2")).pending) == 2
    reason = "items: the list has more than 2 elements (elements_max), at when"
    assert result(evaluate(rulebook, about=lines_of("p1", "p2", "p3"))) == ("unknown", reason)


def test_evidence_has_the_values_of_looked_up_records() -> None:
    evidence = Evidence()
    assert result(evaluate(load(rule()), supplier(rating=2), trace=evidence)) == ("matched", None)
    assert msgspec.json.decode(evidence.by_rule()["r"]) == [["", True, 2]]


def test_a_dry_run_without_a_record_says_so() -> None:
    assert result(evaluate(load(rule()), is_complete=True)) == ("unknown", "supplier was not looked up, at when")


def test_as_many_lookups_as_allowed_are_loaded() -> None:
    names = [f"s{number}" for number in range(limits.LOOKUPS_MAX)]
    when = {"all": [{"field": f"{name}.rating", "op": "lt", "value": 3} for name in names]}
    rulebook = load(rule(when=when, **{"with": {name: {"kind": "supplier", "id": name} for name in names}}))
    assert len(evaluate(rulebook).pending) == 1, "the first one may settle the result"
