"""Decisions: evaluate the rules on an event and its fetched record, and build the entry to store. Pure."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import UNSET, Struct, structs

from service.events import Event, RecordRef, derived_event_id
from service.platforms.base import FetchedRecord
from service.records import Record
from service.rules import Evaluation, Evidence, Rulebook, Subject
from service.rules.lookups import NO_LOOKUPS, LookupRequest, Lookups, LookupSummary
from service.rules.stored_decisions import RULE_EVALUATION
from service.settings import Settings
from service.store import IngestRequest, LastState
from workers.processing.effect_policy import NO_POLICY, EffectPolicy
from workers.processing.history import ERROR_CHARACTERS_MAX, EXISTING, DecisionEntry, StoredEffect, StoredRuleResult

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode

DIGEST_DIGITS = 32
"""Stored hex digits of the digest of a state. 128 bits suffice within one record; each event stores two digests."""


class PendingLookups(Struct, frozen=True):
    """Records to look up before the decision."""

    requests: Sequence[LookupRequest]


class Decision(Struct, frozen=True):
    """Decision on one event. `fields` are the `previous` fields of the next decision on the record, encoded."""

    entry: DecisionEntry
    outcome: str
    fields: bytes
    log_fields: dict[str, Any]


def decide(
    rulebook: Rulebook,
    event: Event,
    fetched: FetchedRecord,
    last: LastState,
    attempt: int,
    *,
    stale: bool,
    lookups: Lookups = NO_LOOKUPS,
    policy: EffectPolicy = NO_POLICY,
) -> Decision | PendingLookups:
    """Evaluate the rules on the fetched state, or return `unchanged` if this change was decided on this state before.

    For a deleted record, the rules see its id and its last known state under `previous`. `stale` marks a decision on a
    stale read. `policy` changes the planned effects. `lookups` are the records that were looked up; if the results
    depend on more, they are returned instead of a decision.
    """
    # Without an event id, a redelivery equals a second event: the same change on the same state is decided once.
    if not event.identified and event.change in last.types and _is_decided_state(event, fetched, last):
        entry = _entry(rulebook, event, fetched, last, attempt, stale=stale)
        return Decision(entry, "unchanged", last.fields, {"rules_evaluated": 0, "stale": stale})
    record: Record = fetched.record or rulebook.gone_record(event.record)
    subject = Subject(event, record, fetched.raw_json, _previous(last), lookups=lookups)
    evidence = Evidence()
    evaluation = rulebook.evaluate(subject, datetime.now(UTC), evidence)
    if evaluation.pending:
        return PendingLookups(evaluation.pending)
    verdicts, effects = _stored_results(evaluation, evidence, policy)
    made = lookups.made()
    results = [verdict.result for verdict in verdicts]
    failed = results.count("error")
    entry = _entry(
        rulebook,
        event,
        fetched,
        last,
        attempt,
        stale=stale,
        verdicts=verdicts,
        effects=effects,
        lookups=lookups.summarize(),
        previous=last.fields if failed else b"",
    )
    log_fields: dict[str, Any] = {
        "rulebook": rulebook.version,
        "rules_evaluated": evaluation.rules_evaluated,
        "rules_matched": results.count("matched"),
        "rules_unknown": results.count("unknown"),
        "rules_failed": failed,
        "actions_run": 0,
        "gone": fetched.record is None,
        "stale": stale,
        "lookups": len(made),
        "lookups_failed": len([each for each in made if each.error_kind]),
    }
    # A deleted record keeps its last known fields.
    fields = _encode(rulebook.previous_fields(subject)) if fetched.record else last.fields
    return Decision(entry, entry.outcome, fields, log_fields)


def decide_failed_rules(
    rulebook: Rulebook,
    event: Event,
    fetched: FetchedRecord,
    decided: DecisionEntry,
    attempt: int,
    *,
    lookups: Lookups = NO_LOOKUPS,
    policy: EffectPolicy = NO_POLICY,
) -> DecisionEntry | PendingLookups:
    """Evaluate the failed rules of a decision again, on the fetched state and the previous state of the decision.

    Returns:
        The entry to add, or the records to look up first. A rule that the rulebook no longer has is unmatched.
    """
    failed = {verdict.rule_id for verdict in decided.failed_rules}
    record: Record = fetched.record or rulebook.gone_record(event.record)
    previous = _decode(decided.previous) if decided.previous else None
    subject = Subject(event, record, fetched.raw_json, previous, lookups=lookups)
    evidence = Evidence()
    evaluation = rulebook.evaluate(subject, datetime.now(UTC), evidence, only=failed)
    if evaluation.pending:
        return PendingLookups(evaluation.pending)
    verdicts, effects = _stored_results(evaluation, evidence, policy)
    removed = failed - {verdict.rule_id for verdict in verdicts}
    reason = "the rulebook has no such rule for the event any more"
    verdicts += [StoredRuleResult(rule_id, "unmatched", reason) for rule_id in sorted(removed)]
    last = LastState(digest=decided.previous_digest)
    return _entry(
        rulebook,
        event,
        fetched,
        last,
        attempt,
        stale=False,
        verdicts=verdicts,
        effects=[effect for effect in effects if not effect.is_rule],
        lookups=lookups.summarize(),
    )


def _stored_results(
    evaluation: Evaluation, evidence: Evidence, policy: EffectPolicy
) -> tuple[list[StoredRuleResult], list[StoredEffect]]:
    """Return the results and the effects to store. A failed rule has one effect, which stands for its evaluation."""
    evidence_by_rule = evidence.by_rule()
    verdicts = [
        StoredRuleResult(verdict.rule_id, verdict.result, verdict.reason, evidence_by_rule.get(verdict.rule_id, UNSET))
        for verdict in evaluation.verdicts
    ]
    effects = list(map(policy.apply, evaluation.effects))
    effects += [
        StoredEffect(verdict.rule_id, "evaluate", RULE_EVALUATION, "idempotent", {}, ordered=False)
        for verdict in evaluation.verdicts
        if verdict.result == "error"
    ]
    return verdicts, effects


def _is_decided_state(event: Event, fetched: FetchedRecord, last: LastState) -> bool:
    """Return whether the last decision was on the same state. One on an event with an id stored the other digest."""
    own = (fetched.bytes_digest or fetched.digest)[:DIGEST_DIGITS]
    return last.digest == own or last.digest == _digest(event, fetched)


def _digest(event: Event, fetched: FetchedRecord) -> str:
    """Return the digest to store. Only an event without an id needs one without regard to the order of members."""
    return ((event.identified and fetched.bytes_digest) or fetched.digest)[:DIGEST_DIGITS]


def _missing(event: Event, fetched: FetchedRecord) -> str:
    """Return the platform's answer for a record that should exist; empty if it exists, or may be deleted."""
    if fetched.record is not None or event.change not in EXISTING:
        return ""
    return fetched.reason or f"{event.record.platform} has no such record"


def _previous(last: LastState) -> dict[str, Any] | None:
    return _decode(last.fields) if last.digest and last.fields else None


def derived_event(event: Event, ref: RecordRef, settings: Settings) -> IngestRequest:
    """Build the derived event of one record of a hint. The same hint gives the same id, so it is ingested once."""
    event_id = derived_event_id(event.id, ref.lane)
    derived = structs.replace(event, id=event_id, record=ref, change="changed")
    return IngestRequest(derived, event_id, int(settings.dedupe_hours * 3_600_000))


def _entry(
    rulebook: Rulebook,
    event: Event,
    fetched: FetchedRecord,
    last: LastState,
    attempt: int,
    *,
    stale: bool,
    verdicts: Sequence[StoredRuleResult] = (),
    effects: Sequence[StoredEffect] = (),
    lookups: Sequence[LookupSummary] = (),
    previous: bytes = b"",
) -> DecisionEntry:
    return DecisionEntry(
        at_ms=int(time.time() * 1000),
        attempt=attempt,
        rulebook=rulebook.version,
        digest=_digest(event, fetched),
        previous_digest=last.digest,
        version=fetched.version,
        gone=fetched.record is None,
        missing=_missing(event, fetched)[:ERROR_CHARACTERS_MAX],
        stale=stale,
        verdicts=verdicts,
        effects=effects,
        lookups=lookups,
        previous=previous,
    )
