"""Explanation of stored decisions: evidence of each rule, formatted as a tree."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from service.cli.explanation_output import format_explanation
from service.management.event_view import view_event
from service.management.explanation import build_explanation
from service.rules import Evidence, Trace, parse_document
from service.rules.evidence import read_evidence
from service.rules.rulebook_document import Document
from service.settings import Settings
from service.store.management.replay import Replay, plan_replay
from tests.service.rules.rule_samples import NOW, book, customer, line, order, subject
from tests.workers.harness import WorkerHarness, open_harness

pytestmark = pytest.mark.store

RULES = """
- id: first
  type: purchase_order
  when:
    all:
      - {field: reference, op: exists}
      - {field: status, op: eq, value: nowhere}
- id: second
  type: purchase_order
  when: {any_of: lines, where: {field: quantity_received, op: lt, ref: quantity_ordered}}
  actions:
    - {id: claim, do: http, url: "SINK/claims", body: {order: "{id}"}}
- {id: third, type: purchase_order, when: {field: raw.nothing, op: eq, value: 1}}
- {id: fourth, type: purchase_order}
"""


@pytest.fixture
async def harness(settings: Settings) -> AsyncIterator[WorkerHarness]:
    async with open_harness(settings) as opened:
        yield opened


def evidence_of(rules: str, *records: Any) -> dict[str, Any]:
    evidence = Evidence()
    book(rules).evaluate(subject(*records), NOW, evidence)
    return {rule: msgspec.json.decode(bytes(text)) for rule, text in evidence.by_rule().items()}


async def explain(harness: WorkerHarness, event_id: str, documents: Mapping[str, Document] = {}) -> list[str]:
    """Return the lines of an explanation, with the rulebooks that are still stored."""
    view = view_event("main", await harness.stored_event(event_id), 0, "raw")
    return list(format_explanation(build_explanation(view, documents), datetime.now(UTC)))


async def test_explain_formats_a_decision_as_a_tree_with_compared_values(harness: WorkerHarness) -> None:
    version = await harness.publish(RULES)
    event_id = await harness.send()
    await harness.run_worker()
    document = parse_document(await harness.store.rulebook.document(version) or b"")
    output = await explain(harness, event_id, {version: document})
    assert output[0] == f"event {event_id}: ended, matched"
    assert output[1] == "  purchase_order.updated (updated) from shop about pack:purchase_order:po-1"
    assert output[2].endswith(f"by rulebook {version}")
    tree = "\n".join(output[3:])
    assert "- first unmatched\n    - all of\n      · reference exists\n      - status = nowhere: was received" in tree
    assert (
        "+ second matched\n    + any_of lines\n      + quantity_received < quantity_ordered at element 0: was " in tree
    )
    assert '    done: http (claim) {"method":"POST"' in tree
    assert "? third unknown: raw.nothing is missing, at when\n    ? raw.nothing = 1: was (missing)" in tree
    assert "\n+ fourth matched\n" in tree
    assert f"second.claim ok\n    POST {harness.sandbox.url}/_sandbox/sink/claims -> 200 after " in tree
    assert '\n      > {"order":"po-1"}\n' in tree


async def test_explain_names_the_rules_behind_one_that_matched_with_stop(harness: WorkerHarness) -> None:
    first = "- {id: first, type: purchase_order, stop: true, when: {field: status, op: exists}}\n"
    version = await harness.publish(first + "- {id: second, type: purchase_order}\n- {id: third, type: customer}\n")
    event_id = await harness.send()
    await harness.run_worker()
    document = parse_document(await harness.store.rulebook.document(version) or b"")
    output = await explain(harness, event_id, {version: document})
    assert "· second not evaluated: behind first, which matched with stop" in output
    assert not any("third" in line for line in output)


async def test_wait_for_a_circuit_names_the_commands_that_show_it(harness: WorkerHarness) -> None:
    view = view_event("main", await harness.stored_event(await harness.send()), 0, "raw")
    waiting = msgspec.structs.replace(build_explanation(view, {}), waiting_for="circuit_open")
    lines = list(format_explanation(waiting, datetime.now(UTC)))
    assert lines[lines.index("  waiting: circuit open") + 1].startswith("  waybill destinations list and waybill plat")


async def test_explain_works_without_rulebook_or_decision(harness: WorkerHarness) -> None:
    await harness.publish(RULES)
    event_id = await harness.send()
    received = "  purchase_order.updated (updated) from shop about pack:purchase_order:po-1"
    assert await explain(harness, event_id) == [f"event {event_id}: queued", received, "  not decided"]
    await harness.run_worker()
    output = await explain(harness, event_id)
    assert "  this rulebook is no longer stored; only the stored comparisons are shown" in output
    assert any("all[1]: was received" in line for line in output)


@pytest.mark.parametrize(
    ("when", "kept"),
    [
        ("{field: status, op: eq, value: x}", [["", False, "received"]]),
        ("{any: [{field: status, op: eq, value: x}, {field: reference, op: exists}]}", [["any[1]", True, "PO-1"]]),
        ("{all: [{field: status, op: exists}, {field: reference, op: exists}]}",
         [["all[0]", True, "received"], ["all[1]", True, "PO-1"]]),
        ("{not: {field: status, op: exists}}", [["not", True, "received"]]),
        ("{all_of: lines, where: {field: quantity_received, op: ge, ref: quantity_ordered}}",
         [["all_of.where", False, 7, 10, [1]]]),
        ("{none_of: lines, where: {field: product_code, op: eq, value: Z}}", [["", True, "(2 elements)"]]),
        ("{count: lines, op: ge, value: 3}", [["", False, "(2 elements)"]]),
    ],
)  # fmt: skip
def test_evidence_has_only_the_comparisons_that_settled_the_rule(when: str, kept: list[Any]) -> None:
    assert evidence_of(f"[{{id: r, type: purchase_order, when: {when}}}]") == {"r": kept}


def test_evidence_masks_personal_data() -> None:
    rule = "[{id: r, type: customer, when: {field: email, op: eq, value: ann@example.org}}]"
    assert evidence_of(rule, customer()) == {"r": [["", True, "***"]]}


def test_no_evidence_is_searched_after_several_rules_that_do_not_fit() -> None:
    evidence = Evidence(bytes_max=1)
    assert [evidence.begin(f"r{number}") for number in range(2)] == [True, True]
    rule = "{any_of: lines, where: {field: quantity_ordered, op: gt, value: 0}}"
    many = [f"{{id: r{number:02d}, type: purchase_order, when: {rule}}}" for number in range(20)]
    subjects = subject(order(lines=[line(5, 2)]))
    evaluation = book(f"[{', '.join(many)}]").evaluate(subjects, NOW, evidence)
    assert {verdict.result for verdict in evaluation.verdicts} == {"matched"}
    assert not evidence.begin("next")
    assert evidence.by_rule() == {}


def test_evidence_is_limited_per_rule_and_per_decision() -> None:
    long = order(reference="x" * 5_000)
    (item,) = evidence_of("[{id: r, type: purchase_order, when: {field: reference, op: exists}}]", long)["r"]
    assert len(item[2]) == 60
    many = "".join(
        f"- {{id: r{number}, type: purchase_order, when: {{field: status, op: exists}}}}\n" for number in range(100)
    )
    evidence = evidence_of(many)
    assert 20 < len(evidence) < 100
    assert sum(len(msgspec.json.encode(items)) for items in evidence.values()) <= 1_024


def test_evidence_changes_no_result_and_names_the_first_element() -> None:
    lines = tuple(line(5, 4 if number in {7, 9} else 5) for number in range(12))
    rule = "[{id: r, type: purchase_order, when: {any_of: lines, where: {field: quantity_received, op: lt, value: 5}}}]"
    rulebook, about = book(rule), subject(order(lines=lines))
    traces: list[Trace | None] = [None, Trace(), Evidence()]
    verdicts = [rulebook.evaluate(about, NOW, trace).verdicts for trace in traces]
    assert verdicts[0] == verdicts[1] == verdicts[2]
    (found,) = read_evidence(evidence_of(rule, order(lines=lines))["r"])
    assert found.elements == (7,)
    assert isinstance(NOW, datetime)


async def test_explain_shows_both_decisions_of_a_failed_rule(harness: WorkerHarness) -> None:
    rule = "- {id: odd, type: purchase_order, on_unknown: error, when: {field: raw.nothing, op: OP}, actions: [ACTION]}"
    rule = rule.replace("ACTION", '{id: claim, do: http, url: "SINK/claims"}')
    first = await harness.publish(rule.replace("OP", "eq, value: 1"))
    event_id = await harness.send()
    await harness.run_worker()
    second = await harness.publish(rule.replace("OP", "missing"))
    planned = plan_replay(await harness.stored_event(event_id), rerun_done=False)
    assert isinstance(planned, Replay)
    await harness.store.replays.replay([planned])
    await harness.run_worker()
    documents = {
        version: parse_document(await harness.store.rulebook.document(version) or b"") for version in (first, second)
    }
    tree = "\n".join(await explain(harness, event_id, documents))
    assert f"by rulebook {first}\n! odd error: raw.nothing is missing, at when\n" in tree
    assert "\n    done: evaluation of the rule" in tree
    assert f"by rulebook {second}\n+ odd matched\n" in tree
    assert '\n    done: http (claim) {"method":"POST"' in tree
