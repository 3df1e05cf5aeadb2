"""The rulebook: order, stop, index, unknown results, errors, previous state, and the example rules of the docs."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from service.actions import Action, CompileTemplate, TemplateRenderer, load_actions
from service.errors import ConfigErrors
from service.records import Address, Customer, Money, PurchaseOrder
from service.rules import (
    Evaluation,
    Rulebook,
    RuleResult,
    Subject,
    Trace,
    document_version,
    find_rule_files,
    parse_document,
    read_rule_files,
    write_document,
)
from tests.service.rules.rule_samples import NOW, book, customer, line, order, rules_of, subject

ROOT = Path(__file__).parents[3]

SHORT_RECEIPT = """
- id: short-receipt
  name: Received less than ordered
  type: purchase_order
  enabled: true
  sort: 10
  events: [updated]
  sources: [pack-orders]
  when:
    all:
      - {field: status, op: eq, value: received}
      - {any_of: lines, where: {field: quantity_received, op: lt, ref: quantity_ordered}}
      - {field: total.value, op: gt, value: "100.00"}
      - {field: status, op: changed}
  on_unknown: skip
  stop: false
  actions:
    - {id: warn, do: log, level: warning, message: "{reference}: {quantity_missing} units missing"}
    - {id: claim, do: http, url: "https://erp.example.com/claims", body: {order: "{id}"}}
"""


def results(evaluation: Evaluation) -> dict[str, str]:
    return {verdict.rule_id: verdict.result for verdict in evaluation.verdicts}


def evaluate(text: str, evaluated: Subject | None = None) -> Evaluation:
    return book(text).evaluate(evaluated or subject(), NOW)


def test_documented_rule_matches_and_renders_its_actions() -> None:
    rulebook = book(SHORT_RECEIPT)
    evaluation = rulebook.evaluate(subject(previous={"status": "open"}), NOW)
    assert evaluation.verdicts == (RuleResult("short-receipt", "matched"),)
    warn, claim = evaluation.effects
    assert (warn.rule_id, warn.action_id, warn.action_type, warn.repeat) == (
        "short-receipt",
        "warn",
        "log",
        "idempotent",
    )
    assert warn.inputs == {"level": "warning", "message": "PO-1: 3 units missing"}
    assert (claim.action_type, claim.repeat, claim.inputs["body"]) == ("http", "keyed", {"order": "po_1"})
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(claim.inputs)) == claim.inputs
    assert rulebook.previous_fields(subject()) == {"status": "received"}


@pytest.mark.parametrize(
    ("fields", "previous", "result"),
    [
        ({"status": "open"}, {"status": "new"}, "unmatched"),
        ({"lines": (line(20, 20),)}, {"status": "open"}, "unmatched"),
        ({"lines": (line(2, 1, "40"),)}, {"status": "open"}, "unmatched"),
        ({}, {"status": "received"}, "unmatched"),
        ({}, None, "unknown"),
        ({"lines": (line(20, 1, "10"), line(1, 1, "9", "USD"))}, {"status": "open"}, "unknown"),
    ],
)
def test_documented_rule_does_not_match_other_receipts(fields: Any, previous: Any, result: str) -> None:
    evaluation = book(SHORT_RECEIPT).evaluate(subject(order(**fields), previous=previous), NOW)
    assert results(evaluation) == {"short-receipt": result}
    assert evaluation.effects == ()


def test_unknown_result_contains_the_field_but_not_its_value() -> None:
    assert evaluate(SHORT_RECEIPT).verdicts[0].reason == "previous.status is missing, at when.all[3]"
    rule = "- {id: r, type: customer, when: {field: vat_number, op: eq, ref: raw.vat}}"
    evaluated = subject(customer(vat_number="BE1"), raw={"vat": 7})
    assert evaluate(rule, evaluated).verdicts[0].reason == "vat_number cannot be compared with raw.vat, at when"


MISSED = "raw.missed is missing, at when.all[1]"


@pytest.mark.parametrize(
    ("beside", "reason"),
    [
        ("any: [{field: raw.other, op: eq, value: 1}, {field: status, op: exists}]", MISSED),
        ("not: {all: [{field: raw.other, op: eq, value: 1}, {field: status, op: missing}]}", MISSED),
        ("any_of: lines, where: {any: [{field: product_id, op: eq, value: x}, {field: product_code, op: exists}]}",
         MISSED),
        ("count: lines, op: ge, value: 0, where: {field: product_id, op: eq, value: x}", MISSED),
        ("not: {field: raw.other, op: eq, value: 1}", "raw.other is missing, at when.all[0].not"),
        ("none_of: lines, where: {field: product_id, op: eq, value: x}",
         "product_id is missing, at when.all[0].none_of.where"),
        ("count: lines, op: gt, value: 0, where: {field: product_id, op: eq, value: x}",
         "product_id is missing, at when.all[0].count.where"),
    ],
)  # fmt: skip
def test_reason_is_the_condition_that_made_the_result_unknown(beside: str, reason: str) -> None:
    rule = f"- {{id: r, type: purchase_order, when: {{all: [{{{beside}}}, {{field: raw.missed, op: eq, value: 1}}]}}}}"
    assert evaluate(rule).verdicts[0].reason == reason


UNKNOWN = """
- id: r
  type: purchase_order
  on_unknown: %s
  when: {field: updated_at, op: older_than, value: 1h}
  actions: [{id: a, do: log, message: m}]
"""


@pytest.mark.parametrize(
    ("choice", "result", "effects"), [("skip", "unknown", 0), ("error", "error", 0), ("match", "matched", 1)]
)
def test_on_unknown_determines_the_result(choice: str, result: str, effects: int) -> None:
    evaluation = evaluate(UNKNOWN % choice)
    assert evaluation.verdicts == (RuleResult("r", result, "updated_at is missing, at when"),)  # type: ignore[arg-type]
    assert len(evaluation.effects) == effects


ORDERED = """
- {id: b, type: purchase_order, sort: 2, stop: true, when: {field: status, op: eq, value: %s}}
- {id: c, type: purchase_order, sort: 2}
- {id: a, type: purchase_order, sort: 2, when: {field: status, op: missing}}
- {id: z, type: purchase_order, sort: -1}
"""


def test_rules_are_evaluated_by_sort_then_id_until_a_match_stops() -> None:
    stopped = evaluate(ORDERED % "received")
    assert list(results(stopped).items()) == [("z", "matched"), ("a", "unmatched"), ("b", "matched")]
    assert stopped.rules_evaluated == 3
    assert list(results(evaluate(ORDERED % "open"))) == ["z", "a", "b", "c"]


INDEXED = """
- {id: all, type: purchase_order}
- {id: created, type: purchase_order, events: [created]}
- {id: pack, type: purchase_order, sources: [pack-orders]}
- {id: erp, type: purchase_order, sources: [erp, till], events: [updated, deleted]}
- {id: off, type: purchase_order, enabled: false}
- {id: people, type: customer}
"""


@pytest.mark.parametrize(
    ("evaluated", "rules"),
    [
        (subject(), {"all", "pack"}),
        (subject(change="created"), {"all", "created", "pack"}),
        (subject(change="deleted", source="till"), {"all", "erp"}),
        (subject(change="changed", source="elsewhere"), {"all"}),
        (subject(customer()), {"people"}),
    ],
)
def test_only_rules_for_the_kind_change_and_source_are_evaluated(evaluated: Subject, rules: set[str]) -> None:
    evaluation = evaluate(INDEXED, evaluated)
    assert set(results(evaluation)) == rules
    assert evaluation.rules_evaluated == len(rules)


def test_rules_of_other_sources_are_not_evaluated() -> None:
    others = "".join(f"- {{id: o{n}, type: purchase_order, sources: [s{n}]}}\n" for n in range(990))
    mine = "".join(f"- {{id: m{n}, type: purchase_order, sources: [pack-orders]}}\n" for n in range(10))
    assert evaluate(others + mine).rules_evaluated == 10


@pytest.mark.parametrize(
    ("actions", "reason"),
    [
        ('{id: a, do: http, url: "https://x.test/{updated_at}"}', "action a: updated_at is missing"),
        ('{id: a, do: http, url: "https://x.test/", headers: {X-Order: "{reference}"}}',
         "action a: reference contains characters that a header does not allow"),
        ('{id: a, do: http, url: "https://x.test/", body: "{raw.huge}"}', "action a: raw.huge is larger than"),
        ('{id: a, do: http, url: "https://x.test/", body: [' + '"{raw.part}", ' * 5 + "]}",
         "action a: the inputs are larger than"),
    ],
)  # fmt: skip
def test_action_that_cannot_be_rendered_is_an_error_of_its_rule_only(actions: str, reason: str) -> None:
    evaluated = subject(order(reference="a\nb"), raw={"huge": "x" * 70_000, "part": "x" * 60_000})
    rules = f"""
- {{id: bad, type: purchase_order, stop: true, actions: [{{id: first, do: log, message: m}}, {actions}]}}
- {{id: good, type: purchase_order, actions: [{{id: a, do: log, message: m}}]}}
"""
    evaluation = evaluate(rules, evaluated)
    assert results(evaluation) == {"bad": "error", "good": "matched"}
    assert str(evaluation.verdicts[0].reason).startswith(reason)
    assert [effect.rule_id for effect in evaluation.effects] == ["good"]


@pytest.mark.parametrize(
    "fields",
    [
        {"lines": "text"},
        {"lines": (None, 5)},
        {"lines": (line(10**400, "x", "10"),)},
        {"lines": (line(Decimal("NaN"), Decimal("sNaN")),)},
        {"status": 5, "supplier": "x", "reference": object()},
        {"created_at": "yesterday"},
    ],
)
def test_bad_record_never_raises(fields: Any) -> None:
    evaluated = subject(
        order(**fields), raw=object(), previous={"status": ["moment", "x"], "total": ["money", "x", "y"]}
    )
    rulebook = book(SHORT_RECEIPT + "- {id: any, type: purchase_order, when: {field: total, op: increased}}")
    assert set(results(rulebook.evaluate(evaluated, NOW))) == {"short-receipt", "any"}
    msgspec.msgpack.encode(rulebook.previous_fields(evaluated))


def test_text_that_cannot_be_encoded_is_an_error_and_is_not_stored() -> None:
    rulebook = book("- {id: r, type: purchase_order, when: {field: raw.x, op: changed}}")
    evaluated = subject(raw={"x": "\ud800" * 300}, previous={"raw.x": ["number", "5"]})
    verdict = rulebook.evaluate(evaluated, NOW).verdicts[0]
    assert (verdict.result, verdict.reason) == ("error", "the condition failed: UnicodeEncodeError")
    assert rulebook.previous_fields(evaluated) == rulebook.previous_fields(subject(raw={"x": "\ud800"})) == {}


def test_action_that_raises_is_an_error_of_its_rule() -> None:
    class FailingAction(Action, frozen=True, kw_only=True, tag="failing"):
        def compile(self, compile_template: CompileTemplate) -> TemplateRenderer:
            template = compile_template("x", "{id}")
            return lambda scope: {template(scope): 1 // 0}

    document = write_document(rules_of("- {id: r, type: purchase_order, actions: [{id: a, do: failing}]}"))
    evaluation = Rulebook.load(document, [FailingAction]).evaluate(subject(), NOW)
    assert evaluation.verdicts == (RuleResult("r", "error", "action a: ZeroDivisionError"),)


def test_trace_contains_every_node_with_its_actual_value() -> None:
    trace = Trace()
    book(SHORT_RECEIPT).evaluate(subject(order(status="open"), previous={"status": "open"}), NOW, trace)
    rows = [(step.path, step.elements, step.result, step.actual, step.expected) for step in trace.steps]
    assert rows == [
        ("when.all[0]", (), False, "open", "received"),
        ("when.all[1].any_of.where", (0,), False, 5, 5),
        ("when.all[1].any_of.where", (1,), True, 7, 10),
        ("when.all[1]", (), True, "(2 elements)", UNSET),
        ("when.all[2]", (), True, "150.00", "100.00"),
        ("when.all[3]", (), False, "open", "open"),
        ("when", (), False, UNSET, UNSET),
    ]
    assert {step.rule_id for step in trace.steps} == {"short-receipt"}
    assert trace.complete


PERSONAL = """
- id: r
  type: customer
  when:
    all:
      - {field: email, op: ends_with, value: "@example.org"}
      - {field: type, op: ne, ref: first_name}
      - {field: raw.billing.firstName, op: eq, value: Ann}
      - {field: last_name, op: changed}
      - {field: balance, op: exists}
      - {field: billing_address, op: missing}
      - {field: shipping_address, op: exists}
      - {any_of: tags, where: {field: $item, op: in, value: [vip]}}
      - {field: created_at, op: within, value: 1h}
      - {field: type, op: matches, value: "x.*"}
      - {field: raw.points, op: in, value: [1, 2]}
"""


def test_trace_masks_personal_values_and_is_plain_data() -> None:
    evaluated = subject(
        customer(
            last_name="Lee",
            balance=Money(Decimal("1.50"), "EUR"),
            type="xy",
            created_at=NOW,
            shipping_address=Address(),
        ),
        raw={"billing": {"firstName": "Ann"}, "points": 2},
        previous={"last_name": ["digest", "0"]},
    )
    trace = Trace()
    evaluation = book(PERSONAL).evaluate(evaluated, NOW, trace)
    assert results(evaluation) == {"r": "matched"}
    encoded = msgspec.json.encode(trace.steps).decode()
    assert not any(secret in encoded for secret in ("Ann", "Lee", "example"))
    assert encoded.count('"***"') >= 6
    assert '"1.50 EUR"' in encoded
    assert '"(missing)"' in encoded
    assert '"2026-03-01T12:00:00Z"' in encoded


def test_trace_is_limited_and_reports_that_it_is_incomplete() -> None:
    trace = Trace(steps_max=2)
    book(SHORT_RECEIPT).evaluate(subject(), NOW, trace)
    assert (len(trace.steps), trace.complete) == (2, False)


COMPARED_WITH_PREVIOUS = """
- id: r
  type: customer
  when:
    any:
      - {field: email, op: changed}
      - {field: email, op: changed_to, value: new@example.org}
      - {field: balance, op: increased}
      - {field: tags, op: changed}
      - {field: billing_address, op: changed}
      - {field: updated_at, op: changed}
      - {field: raw.points, op: changed}
      - {field: raw.flag, op: changed}
      - {field: raw.note, op: changed}
      - {field: reference, op: changed}
      - {field: external_id, op: changed}
  actions: [{id: a, do: log, message: "{previous.reference}"}]
- {id: off, type: customer, enabled: false, when: {field: type, op: changed}}
"""


def known_customer(**fields: Any) -> Customer:
    given: dict[str, Any] = {
        "reference": "R", "external_id": None, "balance": Money(Decimal("10.50"), "EUR"),
        "updated_at": datetime(2026, 1, 1, tzinfo=UTC), "type": "x",
    }  # fmt: skip
    return customer(**(given | fields))


def test_only_compared_fields_are_stored_and_personal_data_as_digests() -> None:
    rulebook = book(COMPARED_WITH_PREVIOUS)
    raw = {"points": Decimal("5.0"), "flag": True, "note": "n" * 300}
    stored = rulebook.previous_fields(subject(known_customer(), raw))
    assert stored.keys() == {
        "email", "balance", "tags", "updated_at", "raw.points", "raw.flag", "raw.note", "reference", "external_id",
    }  # fmt: skip
    assert (stored["balance"], stored["reference"], stored["external_id"]) == (["money", "10.5", "EUR"], "R", None)
    assert (stored["raw.points"], stored["raw.flag"]) == (["number", "5"], True)
    assert all(stored[path][0] == "digest" for path in ("email", "tags", "raw.note"))
    assert "ann" not in msgspec.json.encode(stored).decode()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(stored)) == stored


def test_changed_detects_only_real_changes() -> None:
    rulebook = book(COMPARED_WITH_PREVIOUS)
    raw = {"points": 5, "flag": True, "note": "n" * 300}
    stored = rulebook.previous_fields(subject(known_customer(), raw))
    stored["billing_address"] = None
    same = known_customer(balance=Money(Decimal("10.50"), "EUR"), billing_address=None)
    assert results(rulebook.evaluate(subject(same, raw | {"points": Decimal("5.0")}, stored), NOW)) == {
        "r": "unmatched"
    }
    for record, sent in [
        (known_customer(email="new@example.org"), raw),
        (known_customer(balance=Money(Decimal(11), "EUR")), raw),
        (known_customer(tags=("vip",)), raw),
        (known_customer(updated_at=datetime(2026, 1, 2, tzinfo=UTC)), raw),
        (known_customer(reference="S"), raw),
        (known_customer(external_id="x"), raw),
        (known_customer(), raw | {"flag": False}),
        (known_customer(), raw | {"note": "m" * 300}),
        (known_customer(), raw | {"points": "5"}),
    ]:
        evaluation = rulebook.evaluate(subject(record, sent, stored), NOW)
        assert results(evaluation) == {"r": "matched"}
        assert evaluation.effects[0].inputs["message"] == "R"


def test_document_is_canonical_and_its_version_depends_on_its_content() -> None:
    rules = rules_of(INDEXED)
    document = write_document(rules)
    assert write_document(tuple(reversed(rules))) == document
    assert write_document(parse_document(document).file_rules) == document
    assert Rulebook.load(document, load_actions()).version == document_version(document)
    assert len(document_version(document)) == 16
    assert document_version(write_document(rules[1:])) != document_version(document)
    assert write_document((), rules) != document
    assert Rulebook.load(write_document(rules[1:], rules[:1]), load_actions()).api_rules == {"all"}


def test_mistakes_of_all_rules_are_reported() -> None:
    text = """
- {id: a, type: customer, when: {field: nmae, op: eq, value: x}, actions: [{id: t, do: lgo}]}
- {id: b, type: customer, actions: []}
- {id: c, type: box, actions: []}
- {id: d, type: customer, actions: [{id: t, do: log, message: "{tpye}"}, {id: t, do: log, message: m}]}
"""
    with pytest.raises(ConfigErrors) as caught:
        Rulebook.load(write_document(rules_of(text)), load_actions())
    assert [(each.rule_id, each.path) for each in caught.value.mistakes] == [
        ("a", "rules[0].when.field"),
        ("a", "rules[0].actions[0].do"),
        ("c", "rules[2].type"),
        ("d", "rules[3].actions[0].message"),
        ("d", "rules[3].actions[1].id"),
    ]


def test_duplicate_ids_of_a_document_are_all_reported() -> None:
    a, b = rules_of("- {id: a, type: customer, actions: []}\n- {id: b, type: customer, actions: []}\n")
    with pytest.raises(ConfigErrors) as caught:
        parse_document(write_document([a, b], [a, b]))
    assert [each.reason for each in caught.value.mistakes] == ["duplicate rule id a", "duplicate rule id b"]


def test_empty_rulebook_evaluates_nothing() -> None:
    rulebook = Rulebook.load(write_document(()), load_actions())
    assert rulebook.evaluate(subject(), NOW) == Evaluation(0, (), ())
    assert rulebook.previous_fields(subject()) == {}


def test_example_rules_of_the_docs_load_and_match() -> None:
    paths = find_rule_files(["rules/*.yaml"], ROOT / "docs" / "examples")
    files = read_rule_files(paths, load_actions())
    rulebook = Rulebook.load(write_document([rule for file in files for rule in file.rules]), load_actions())
    assert {rule.type for rule in rulebook.rules} == {"purchase_order", "customer"}
    assert all(rule.name for rule in rulebook.rules)
    short = subject(order(), previous={"status": "open"})
    assert results(rulebook.evaluate(short, NOW))["short-receipt"] == "matched"


def test_subjects_have_records_of_both_kinds() -> None:
    assert {type(subject().record), type(subject(customer()).record)} == {PurchaseOrder, Customer}
