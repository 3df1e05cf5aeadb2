"""From an event and a fetched record to a decision that can be written. Pure: judging, remembering, wording."""

import time
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import UNSET, Struct, structs

from service.errors import PermanentError
from service.events import EVENT_VERSION, Event, RecordRef, derived_event_id
from service.platforms.base import FetchedRecord
from service.records import RECORDS, Record
from service.rules import Evidence, Rulebook, Subject
from service.settings import Settings
from service.store import IngestRequest, LaneHead, LastState
from service.store.queue.serialization import decode_event
from workers.processing.history import DecisionEntry, StoredEffect, StoredRuleResult, read_received
from workers.processing.stale_reads import is_stale

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode


DIGEST_DIGITS = 32
"""Hex digits kept of a state's digest: 128 bits tell the states of one record apart, and each event holds two."""


class Decision(Struct, frozen=True):
    """A decision: its line for the story, its word, what the record's next decision sees as `previous`, and counts."""

    line: DecisionEntry
    outcome: str
    fields: bytes
    counts: dict[str, Any]


def load_event(head: LaneHead, *, with_body: bool = False) -> Event:
    """Read the event a head stands for; once its bytes are dropped, a decided one from its story.

    Raises:
        PermanentError: its bytes are gone, or of a version this worker cannot read.
    """
    if head.delivery is None and head.state == "decided":
        return _recall(head)
    if head.delivery is None:
        raise PermanentError("payload_missing", "the event's bytes are not in the store")
    try:
        return decode_event(head.id, head.delivery, with_body=with_body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PermanentError("undecodable", f"the event cannot be read by this version: {error}") from None


def _recall(head: LaneHead) -> Event:
    received = read_received(head.history)
    if received is None:
        raise PermanentError("payload_missing", "neither the event's bytes nor its story are in the store")
    platform, kind, record_id = received.record.split(":", 2)
    record = RecordRef(platform, kind, record_id)
    return Event(
        version=EVENT_VERSION,
        id=head.id,
        source=received.source,
        type=received.type,
        change=received.change,
        record=record,
        occurred_at=received.occurred_at,
        headers={},
        traceparent=None,
        body=b"",
    )


def decide(rulebook: Rulebook, event: Event, fetched: FetchedRecord, last: LastState, attempt: int) -> Decision:
    """Judge the fetched state, or say that this change was decided on this very state before.

    A record that is gone is judged by its id and what was last known of it, under `previous`.
    """
    stale = bool(is_stale(event, fetched))
    # Without an id nothing tells a redelivery from a second event: what was decided on this state and type is
    # not decided twice.
    if not event.identified and last.digest == fetched.digest[:DIGEST_DIGITS] and event.change in last.types:
        line = _line(rulebook, fetched, last, attempt, stale=stale)
        return Decision(line, "unchanged", last.fields, {"rules_evaluated": 0, "stale": stale})
    record: Record = fetched.record or RECORDS[event.record.kind](id=event.record.id)
    subject = Subject(event, record, fetched.raw, _previous(last))
    evidence = Evidence()
    judgement = rulebook.evaluate(subject, datetime.now(UTC), evidence)
    because = evidence.by_rule()
    verdicts = [
        StoredRuleResult(verdict.rule_id, verdict.result, verdict.reason, because.get(verdict.rule_id, UNSET))
        for verdict in judgement.verdicts
    ]
    effects = [
        StoredEffect(effect.rule_id, effect.action_id, effect.action_type, effect.repeat, effect.inputs)
        for effect in judgement.effects
    ]
    line = _line(rulebook, fetched, last, attempt, verdicts, effects, stale=stale)
    matched = sum(verdict.result == "matched" for verdict in verdicts)
    counts: dict[str, Any] = {
        "rulebook": rulebook.version,
        "rules_evaluated": judgement.rules_evaluated,
        "rules_matched": matched,
        "rules_unknown": sum(verdict.result in {"unknown", "error"} for verdict in verdicts),
        "actions_run": 0,
        "gone": fetched.record is None,
        "stale": stale,
    }
    # Of a record that is gone, what was known last stays known.
    fields = _encode(rulebook.previous_fields(subject)) if fetched.record else last.fields
    return Decision(line, "matched" if matched else "unmatched", fields, counts)


def _previous(last: LastState) -> dict[str, Any] | None:
    return _decode(last.fields) if last.digest and last.fields else None


def derived_event(event: Event, ref: RecordRef, settings: Settings) -> IngestRequest:
    """Make the event of one record that a hint led to; the same one when repeated, so it is taken in once."""
    name = derived_event_id(event.id, ref.lane)
    derived = structs.replace(event, id=name, record=ref, change="changed")
    return IngestRequest(derived, name, int(settings.dedupe_hours * 3_600_000))


def _line(  # noqa: PLR0917 - each is one part of the line
    rulebook: Rulebook,
    fetched: FetchedRecord,
    last: LastState,
    attempt: int,
    verdicts: list[StoredRuleResult] | None = None,
    effects: list[StoredEffect] | None = None,
    *,
    stale: bool,
) -> DecisionEntry:
    return DecisionEntry(
        at_ms=int(time.time() * 1000),
        attempt=attempt,
        rulebook=rulebook.version,
        digest=fetched.digest[:DIGEST_DIGITS],
        previous_digest=last.digest,
        version=fetched.version,
        gone=fetched.record is None,
        stale=stale,
        verdicts=verdicts or [],
        effects=effects or [],
    )
