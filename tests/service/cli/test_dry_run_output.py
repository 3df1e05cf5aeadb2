"""Text output of dry runs and comparisons."""

from service.cli.dry_run_output import NO_RULES, format_comparison, format_dry_run
from service.management.dry_run import RulebookComparison, SkippedEvent, differences
from service.management.dry_run_result import dry_run_subject
from tests.service.rules.rule_samples import NOW, book, subject

RULE = """
- id: short
  type: purchase_order
  when: {any_of: lines, where: {field: quantity_received, op: lt, ref: quantity_ordered}}
  actions: [{id: warn, do: log, message: "{reference} misses {quantity_missing}"}]
"""


def test_a_dry_run_is_a_tree_with_values_and_rendered_effects() -> None:
    lines = list(format_dry_run(dry_run_subject(book(RULE), subject())))
    assert lines[0].startswith("pack:purchase_order:po_1, rulebook ")
    assert lines[1:3] == ["short: matched", "  + lines any_of (was (2 elements))"]
    assert "[0] quantity_received < 5 (was 5)" in lines[3]
    assert "+ [1] quantity_received < 10 (was 7)" in lines[4]
    assert lines[5] == """  would run log (warn) {"level":"info","message":"PO-1 misses 3"}"""


def test_a_dry_run_without_evaluated_rules_says_why() -> None:
    other = book(RULE.replace("type: purchase_order", "type: purchase_order\n  sources: [other]"))
    lines = list(format_dry_run(dry_run_subject(other, subject())))
    assert lines[1:] == [NO_RULES]


STOPPING = """
- {id: first, type: purchase_order, sort: 1, stop: true, on_unknown: VERDICT, when: {field: CONDITION}}
- {id: behind, type: purchase_order, sort: 2, when: {field: status, op: exists}}
- {id: alone, type: event, sort: 3, when: {field: event.source, op: eq, value: pack-orders}}
- {id: elsewhere, type: purchase_order, sort: 4, sources: [other]}
- {id: disabled, type: purchase_order, sort: 4, enabled: false}
- {id: deletions, type: purchase_order, sort: 4, events: [deleted]}
- {id: customers, type: customer, sort: 4}
"""


def test_a_dry_run_names_the_rules_behind_one_that_matched_with_stop() -> None:
    rules = STOPPING.replace("CONDITION", "status, op: exists").replace("VERDICT", "skip")
    found = dry_run_subject(book(rules), subject())
    assert list(format_dry_run(found))[-2:] == [
        "behind: not evaluated (behind first, which matched with stop)",
        "alone: not evaluated (behind first, which matched with stop)",
    ]
    assert {step.rule_id for step in found.steps} == {"first"}


def test_a_failed_rule_with_stop_leaves_out_no_rule() -> None:
    rules = STOPPING.replace("CONDITION", "raw.nothing, op: eq, value: 1").replace("VERDICT", "error")
    found = dry_run_subject(book(rules), subject())
    assert [(verdict.rule_id, verdict.result) for verdict in found.verdicts] == [
        ("first", "error"), ("behind", "matched"), ("alone", "matched"),
    ]  # fmt: skip
    assert {step.rule_id for step in found.steps} == {"first", "behind", "alone"}
    assert found.not_evaluated == ()


def test_a_comparison_lists_the_differences() -> None:
    about = subject()
    live = book(RULE).evaluate(about, NOW)
    louder = book(RULE.replace("message:", "level: error, message:")).evaluate(about, NOW)
    never = book(RULE.replace("short", "other")).evaluate(about, NOW)
    skipped = [SkippedEvent("e2", "no answer in time")]
    found = differences(about.event, live, louder)
    assert list(format_comparison(RulebookComparison("v1", "v2", 1, found, skipped))) == [
        "1 event: active v1, candidate v2",
        "e1 pack:purchase_order:po_1 short: matched -> matched",
        """  - log (warn) {"level":"info","message":"PO-1 misses 3"}""",
        """  + log (warn) {"level":"error","message":"PO-1 misses 3"}""",
        "e2 skipped: no answer in time",
    ]
    lines = list(format_comparison(RulebookComparison("v1", "v2", 1, differences(about.event, live, never), ())))
    assert [line for line in lines if "not evaluated" in line] == [
        "e1 pack:purchase_order:po_1 other: not evaluated -> matched",
        "e1 pack:purchase_order:po_1 short: matched -> not evaluated",
    ]
    assert differences(about.event, live, live) == []
