"""The lines of an event's story: one JSON object each, written with the store call they tell of. Pure.

The line `decided` is also what a later attempt works from: it holds the effects with their rendered inputs.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from service.actions import RetrySafety
from service.events import ChangeType, Event


class StoredEffect(Struct, frozen=True):
    """One effect of a decision; its place in the list is its place in the ledger."""

    rule_id: str
    action_id: str
    action_type: str
    repeat: RetrySafety
    inputs: dict[str, Any]

    def idempotency_key(self, event_id: str, generation: int) -> str:
        """The effect's identity and idempotency key; only a rerun raises the generation."""
        return f"{event_id}:{self.rule_id}:{self.action_id}:{generation}"


class StoredRuleResult(Struct, frozen=True, omit_defaults=True):
    """What one rule said."""

    rule_id: str
    result: str
    reason: str | None = None
    because: msgspec.Raw | UnsetType = UNSET
    """The comparisons that settled it, as `service.rules.evidence` has them; left out where there was no room."""


class DecisionEntry(Struct, frozen=True, tag_field="entry", tag="decided", kw_only=True, omit_defaults=True):
    """The decision: the state judged (its digest and version), the one before, the rulebook, what each rule said."""

    at_ms: int
    attempt: int
    rulebook: str
    digest: str
    previous_digest: str
    version: str | None
    gone: bool
    stale: bool = False
    """The state judged is older than the event, and the platform was waited for long enough."""
    verdicts: Sequence[StoredRuleResult]
    effects: Sequence[StoredEffect]


class ReceivedEntry(Struct, frozen=True, tag_field="entry", tag="received", kw_only=True):
    """How the event came; kept here because its body goes first."""

    at_ms: int
    source: str
    type: str
    change: ChangeType
    record: str
    occurred_at: str | None


class EffectEntry(Struct, frozen=True, tag_field="entry", tag="effect", kw_only=True, omit_defaults=True):
    """One run of one effect."""

    at_ms: int
    attempt: int
    rule_id: str
    action_id: str
    outcome: Literal["ok", "error"]
    duration_ms: float
    error_kind: str | None = None
    error: str | None = None
    answer: Any = None


class AttemptEntry(Struct, frozen=True, tag_field="entry", tag="attempt", kw_only=True, omit_defaults=True):
    """How one attempt ended."""

    at_ms: int
    attempt: int
    outcome: str
    duration_ms: float
    error_kind: str | None = None
    error: str | None = None


HistoryEntry = DecisionEntry | ReceivedEntry | EffectEntry | AttemptEntry

_encode = msgspec.json.Encoder().encode
_decided = msgspec.json.Decoder(DecisionEntry)

_received = msgspec.json.Decoder(ReceivedEntry)

DECIDED_MARK = b'{"entry":"decided"'
RECEIVED_MARK = b'{"entry":"received"'

T = TypeVar("T", DecisionEntry, ReceivedEntry)


def encode_history(*lines: HistoryEntry) -> bytes:
    """Encode lines, each ended by a newline."""
    return b"".join(_encode(line) + b"\n" for line in lines)


def initial_ledger(effects: Sequence[StoredEffect]) -> str:
    """The ledger a decision begins with: the first effect of each rule is started at once, and so written with it."""
    rules: set[str] = set()
    letters = ""
    for effect in effects:
        letters += "p" if effect.rule_id in rules else "s"
        rules.add(effect.rule_id)
    return letters


def received_line(event: Event, received_ms: int) -> ReceivedEntry:
    """Tell how an event came."""
    return ReceivedEntry(
        at_ms=received_ms,
        source=event.source,
        type=event.type,
        change=event.change,
        record=event.record.lane,
        occurred_at=event.occurred_at,
    )


def read_decision(history: bytes) -> DecisionEntry | None:
    """Find the decision in a story; None if it holds none that this version can read."""
    return _find(history, DECIDED_MARK, _decided)


def read_received(history: bytes) -> ReceivedEntry | None:
    """Find how the event came; None if the story does not tell."""
    return _find(history, RECEIVED_MARK, _received)


def _find(history: bytes, mark: bytes, decoder: msgspec.json.Decoder[T]) -> T | None:
    for line in history.splitlines():
        # The tag comes first in a line, so that all others need not be decoded.
        if line.startswith(mark):
            try:
                return decoder.decode(line)
            except msgspec.DecodeError:
                return None
    return None
