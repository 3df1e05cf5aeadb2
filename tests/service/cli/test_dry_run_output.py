"""A dry run and a comparison, as the command prints them."""

from service.cli.dry_run_output import format_comparison, format_dry_run
from service.management.dry_run import RulebookComparison, SkippedEvent, differences, dry_run_subject
from tests.service.rules.rule_samples import NOW, book, subject

RULE = """
- id: short
  type: purchase_order
  when: {any_of: lines, where: {field: quantity_received, op: lt, ref: quantity_ordered}}
  actions: [{id: warn, do: log, message: "{reference} misses {quantity_missing}"}]
"""


def test_a_dry_run_is_a_tree_with_the_values_seen_and_the_effects_as_rendered() -> None:
    told = list(format_dry_run(dry_run_subject(book(RULE), subject())))
    assert told[0].startswith("pack:purchase_order:po_1, by rulebook ")
    assert told[1:3] == ["short: matched", "  + lines any_of (actual '(2 elements)')"]
    assert "[0] quantity_received lt 5 (actual 5)" in told[3]
    assert "+ [1] quantity_received lt 10 (actual 7)" in told[4]
    assert told[5] == """  would log (warn) {"level":"info","message":"PO-1 misses 3"}"""


def test_a_comparison_tells_what_would_be_done_otherwise() -> None:
    about = subject()
    live = book(RULE).evaluate(about, NOW)
    louder = book(RULE.replace("message:", "level: error, message:")).evaluate(about, NOW)
    never = book(RULE.replace("short", "other")).evaluate(about, NOW)
    missed = [SkippedEvent("e2", "no answer in time")]
    found = differences(about.event, live, louder)
    assert list(format_comparison(RulebookComparison("v1", "v2", 1, found, missed))) == [
        "1 events, v1 in force, v2 tried",
        "e1 pack:purchase_order:po_1 short: matched -> matched",
        """  - log (warn) {"level":"info","message":"PO-1 misses 3"}""",
        """  + log (warn) {"level":"error","message":"PO-1 misses 3"}""",
        "e2 not judged: no answer in time",
    ]
    told = list(format_comparison(RulebookComparison("v1", "v2", 1, differences(about.event, live, never), ())))
    assert [line for line in told if "not asked" in line] == [
        "e1 pack:purchase_order:po_1 other: not asked -> matched",
        "e1 pack:purchase_order:po_1 short: matched -> not asked",
    ]
    assert differences(about.event, live, live) == []
