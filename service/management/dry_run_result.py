"""Result of a dry run: the rules on one subject, with every node and its value. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec import Struct

from service.rules import PlannedEffect, Rulebook, RuleResult, Step, Subject, Trace
from service.rules.applying_rules import UnevaluatedRule, unevaluated_rules
from service.rules.lookups import LookupSummary
from service.rules.rule_test_writer import write_rule_test

STEPS_MAX = 2_000


class DryRun(Struct, frozen=True):
    """Result of the rules for one record: results, every node with its value, and the rendered effects.

    `rule_test` is the text of a rule test with this record and these results; null for a deleted record.
    `not_evaluated` are the rules behind one that matched with `stop`.
    """

    rulebook: str
    record: str
    gone: bool
    verdicts: Sequence[RuleResult]
    steps: Sequence[Step]
    complete: bool
    effects: Sequence[PlannedEffect]
    event_id: str | None = None
    rule_test: str | None = None
    lookups: Sequence[LookupSummary] = ()
    not_evaluated: Sequence[UnevaluatedRule] = ()


def dry_run_subject(rulebook: Rulebook, subject: Subject, event_id: str | None = None) -> DryRun:
    """Evaluate the rules on a subject, with the result of every node."""
    trace = Trace(STEPS_MAX)
    now = datetime.now(UTC)
    evaluation = rulebook.evaluate(subject, now)  # as a worker decides: a trace reads more fields
    results = {verdict.rule_id: verdict.result for verdict in evaluation.verdicts}
    rulebook.evaluate(subject, now, trace, only=results)
    event = subject.event
    return DryRun(
        rulebook=rulebook.version,
        record=event.record.lane,
        gone=subject.raw == {},
        verdicts=evaluation.verdicts,
        steps=trace.steps,
        complete=trace.complete,
        effects=evaluation.effects,
        event_id=event_id,
        rule_test=None if subject.raw == {} else write_rule_test(rulebook, subject, evaluation, now),
        lookups=subject.lookups.summarize(),
        not_evaluated=unevaluated_rules(rulebook.rules, results, event.record.kind, event.change, event.source),
    )
