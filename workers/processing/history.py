"""History of an event: one JSON object per entry, written by the store call that the entry describes. Pure.

Later attempts run the effects from the entry `decided`, which holds their rendered inputs.
"""

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType, structs

from service.actions import RetrySafety
from service.errors import PermanentError
from service.events import ChangeType, Event
from service.exchange import TlsFacts
from service.rules.lookups import LookupSummary
from service.rules.stored_decisions import RULE_EVALUATION
from service.store import encode_order
from service.tracing.spans import NO_SPAN, Attributes, Span


class StoredEffect(Struct, frozen=True, omit_defaults=True):
    """Effect of a decision. The index in the list is the index in the ledger."""

    rule_id: str
    action_id: str
    action_type: str
    repeat: RetrySafety
    inputs: dict[str, Any]
    ordered: bool = True
    latest_only: bool = False

    def idempotency_key(self, event_id: str, generation: int) -> str:
        """Return the idempotency key of the effect. Only a rerun increments `generation`."""
        return f"{event_id}:{self.rule_id}:{self.action_id}:{generation}"

    @property
    def span_attributes(self) -> Attributes:
        """Attributes of a span of the effect."""
        destination = self.inputs.get("destination")
        return {
            "waybill.rule_id": self.rule_id,
            "waybill.action_id": self.action_id,
            "waybill.action_type": self.action_type,
            "waybill.destination": destination if isinstance(destination, str) else None,
        }

    @property
    def is_rule(self) -> bool:
        """Whether the effect stands for a failed rule: failed, planned by a replay, or done."""
        return self.action_type == RULE_EVALUATION


class StoredRuleResult(Struct, frozen=True, omit_defaults=True):
    """Result of one rule."""

    rule_id: str
    result: str
    reason: str | None = None
    because: msgspec.Raw | UnsetType = UNSET
    """Evidence from `service.rules.evidence`: the comparisons that settled the rule. Omitted above the size limit."""


class DecisionEntry(Struct, frozen=True, tag_field="entry", tag="decided", kw_only=True, omit_defaults=True):
    """Entry of a decision: digests of the evaluated and the previous state, rulebook version, result of each rule.

    A replay of failed rules adds an entry with their results and further effects.
    """

    at_ms: int
    attempt: int
    rulebook: str
    digest: str
    previous_digest: str
    version: str | None
    gone: bool
    stale: bool = False
    """The evaluated state is older than the event, after the wait for a newer state ended."""
    verdicts: Sequence[StoredRuleResult]
    effects: Sequence[StoredEffect]
    lookups: Sequence[LookupSummary] = ()
    previous: bytes = b""
    """Encoded fields of the previous state, if a rule failed: a replay compares with the same state."""
    missing: str = ""
    """URL, status and words of the platform, if a record that was created or updated is missing."""

    @property
    def outcome(self) -> str:
        """Outcome of the event if every effect is done."""
        if self.missing:
            return "record_missing"
        return "matched" if "matched" in [verdict.result for verdict in self.verdicts] else "unmatched"

    def describe_rules(self, span: Span) -> None:
        """Add the ids of the rules with each result to the span of the decision."""
        if span is not NO_SPAN:
            for result in ("matched", "unknown", "error"):
                rule_ids = [verdict.rule_id for verdict in self.verdicts if verdict.result == result]
                span.set({f"waybill.rules.{result}": rule_ids})
            span.set({"waybill.rulebook": self.rulebook, "waybill.rules.evaluated": len(self.verdicts)})

    @property
    def error(self) -> PermanentError | None:
        """Warning about the decision: the record is missing."""
        return PermanentError("record_missing", self.missing) if self.missing else None

    @property
    def failed_rules(self) -> Sequence[StoredRuleResult]:
        """Results of the rules that could not be evaluated, or whose actions could not be rendered."""
        return [verdict for verdict in self.verdicts if verdict.result == "error"]


class ReceivedEntry(Struct, frozen=True, tag_field="entry", tag="received", kw_only=True):
    """Entry of the receipt. It outlives the body, which has a shorter retention."""

    at_ms: int
    source: str
    type: str
    change: ChangeType
    record: str
    occurred_at: str | None


class StoredRequest(Struct, frozen=True, omit_defaults=True):
    """Request of an exchange, without what equals the inputs of the effect: method, URL, headers, and the body if None.

    `body` is incomplete if `body_bytes` is larger. Both are of the body that was sent.
    """

    method: str = ""
    url: str = ""
    headers: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])
    body: str | None = None
    body_bytes: int = 0


class StoredResponse(Struct, frozen=True, omit_defaults=True):
    """Response of an exchange. `body` is incomplete if `body_bytes` is larger."""

    status: int
    headers: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])
    body: str = ""
    body_bytes: int = 0


class StoredExchange(Struct, frozen=True, omit_defaults=True):
    """HTTP call of an effect, without secrets."""

    request: StoredRequest
    response: StoredResponse | None = None
    duration_ms: float = 0.0
    peer: str = ""
    tls: TlsFacts | None = None


class EffectEntry(Struct, frozen=True, tag_field="entry", tag="effect", kw_only=True, omit_defaults=True):
    """Entry of one run of one effect."""

    at_ms: int
    attempt: int
    rule_id: str
    action_id: str
    outcome: Literal["ok", "error", "superseded"]
    duration_ms: float
    error_kind: str | None = None
    error: str | None = None
    answer: Any = None
    exchange: StoredExchange | None = None


class AttemptEntry(Struct, frozen=True, tag_field="entry", tag="attempt", kw_only=True, omit_defaults=True):
    """Entry of one ended attempt."""

    at_ms: int
    attempt: int
    outcome: str
    duration_ms: float
    error_kind: str | None = None
    error: str | None = None


HistoryEntry = DecisionEntry | ReceivedEntry | EffectEntry | AttemptEntry

_encode = msgspec.json.Encoder().encode
_decision_decoder = msgspec.json.Decoder(DecisionEntry)
_effect_decoder = msgspec.json.Decoder(EffectEntry)
_received_decoder = msgspec.json.Decoder(ReceivedEntry)

EXISTING = frozenset({"created", "updated"})
"""Changes after which a record should exist. A change of unknown kind may be a deletion."""
ERROR_CHARACTERS_MAX = 300
"""Stored characters of an error text."""
EFFECT_PREFIX = b'{"entry":"effect"'
DECISION_PREFIX = b'{"entry":"decided"'
RECEIVED_PREFIX = b'{"entry":"received"'

T = TypeVar("T", DecisionEntry, ReceivedEntry)


def encode_history(*entries: HistoryEntry) -> bytes:
    """Encode entries as JSON lines."""
    return b"".join(_encode(entry) + b"\n" for entry in entries)


def initial_ledger(effects: Sequence[StoredEffect]) -> str:
    """Return the ledger of a new decision: the first effect of each rule is `s` (started), the others `p` (planned).

    That of a failed rule is `f`.
    """
    rules: set[str] = set()
    letters = ""
    for effect in effects:
        letters += "f" if effect.is_rule else "p" if effect.rule_id in rules else "s"
        rules.add(effect.rule_id)
    return letters


def is_replayed(decided: DecisionEntry, ledger: str) -> bool:
    """Return whether a replay asks for another evaluation of failed rules."""
    failed = {verdict.rule_id for verdict in decided.failed_rules}
    pairs = zip(decided.effects, ledger, strict=True) if failed else ()
    return any(effect.is_rule and effect.rule_id in failed and letter == "p" for effect, letter in pairs)


def extended_ledger(decided: DecisionEntry, ledger: str, added: DecisionEntry) -> str:
    """Return the ledger after another evaluation of failed rules: their results, then the effects of `added`."""
    still_failed = {verdict.rule_id for verdict in added.failed_rules}
    letters = [
        ("f" if effect.rule_id in still_failed else "d") if effect.is_rule else letter
        for effect, letter in zip(decided.effects, ledger, strict=True)
    ]
    return "".join(letters) + "p" * len(added.effects)


def merge_decisions(first: DecisionEntry, *later: DecisionEntry) -> DecisionEntry:
    """Return the first decision with the results and the effects of the later ones."""
    results = {verdict.rule_id: verdict for entry in (first, *later) for verdict in entry.verdicts}
    effects = [effect for entry in (first, *later) for effect in entry.effects]
    return structs.replace(first, verdicts=list(results.values()), effects=effects)


def rule_error(decided: DecisionEntry) -> PermanentError:
    """Return the error of an event whose other rules are done: the failed rules, each with its reason."""
    reasons = "; ".join(f"rule {verdict.rule_id}: {verdict.reason}" for verdict in decided.failed_rules)
    return PermanentError("rule_failed", f"{reasons}. Correct the rule or the record, then replay the event")


def effects_order(lane: str, effects: Sequence[StoredEffect]) -> str:
    """Return the order of effects of a decision on the record of `lane`, for the store."""
    return encode_order(lane, ((effect.rule_id, effect.action_id if effect.ordered else "") for effect in effects))


def received_entry(event: Event, received_ms: int) -> ReceivedEntry:
    """Build the entry `received` of an event."""
    return ReceivedEntry(
        at_ms=received_ms,
        source=event.source,
        type=event.type,
        change=event.change,
        record=event.record.lane,
        occurred_at=event.occurred_at,
    )


def read_decision(history: bytes) -> DecisionEntry | None:
    """Decode the decision in a history, with the results and effects that replays of failed rules added.

    Returns:
        None if there is none, or one that this version cannot decode.
    """
    found = _find(history, DECISION_PREFIX, _decision_decoder)
    return merge_decisions(*found) if len(found) > 1 else next(iter(found), None)


def read_received(history: bytes) -> ReceivedEntry | None:
    """Decode the entry `received` in a history. Return None if there is none that this version can decode."""
    return next(iter(_find(history, RECEIVED_PREFIX, _received_decoder)), None)


def count_exchanges(history: bytes) -> Counter[tuple[str, str]]:
    """Return the number of stored exchanges of each effect, by rule and action."""
    counts: Counter[tuple[str, str]] = Counter()
    for line in history.splitlines():
        if line.startswith(EFFECT_PREFIX) and b'"exchange":' in line:
            with contextlib.suppress(ValueError, RecursionError):
                effect = _effect_decoder.decode(line)
                counts[effect.rule_id, effect.action_id] += effect.exchange is not None
    return counts


def _find(history: bytes, prefix: bytes, decoder: msgspec.json.Decoder[T]) -> Sequence[T]:
    """Decode the entries of one kind; none if one of them cannot be decoded."""
    try:
        # The tag is the first key of a line, so other entries are skipped without decoding.
        return [decoder.decode(line) for line in history.splitlines() if line.startswith(prefix)]
    except (ValueError, RecursionError):
        return []
