"""One event whole: where it stands, what arrived, every effect, and its story. Pure but for finding it.

Three sights: an `outline` has no body and no rendered inputs, `redacted` has them with secrets and personal data taken
out, `raw` as they are. Which one a person may have is decided by the door they came through.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from service.errors import Rejection
from service.events import JsonValue
from service.management.event_filter import format_timestamp
from service.management.stores import NamedStore, NamedStores
from service.redaction import scrub, to_plain
from service.store.management.events import EventSummary

Visibility = Literal["outline", "redacted", "raw"]

EFFECT_STATES = {
    "p": "planned", "s": "started", "d": "done", "f": "failed", "u": "outcome_unknown", "w": "deferred",
}  # fmt: skip
"""What the ledger's letters mean, see `service.store.queue.lanes.LaneHead`."""

NOTHING: Mapping[str, Any] = {}

_INNER = ("inputs", "answer")
"""What story lines hold that may be personal."""


class EffectView(Struct, frozen=True):
    """One effect of the decision: which action of which rule, what may happen to it twice, and where it stands."""

    rule_id: str
    action_id: str
    action_type: str
    repeat: str
    state: str
    inputs: Any = None


class EventView(Struct, frozen=True, kw_only=True):
    """An event with all that is known of it. Moments are UTC; `running` is the run that has it in hand.

    `waiting_for` and `next_attempt_at` say why the last attempt was deferred, and until when: an error's kind,
    `fetch_delay` or `stale_read`; null if no attempt was deferred.

    `body` is JSON read and redacted, or the text as it came (`encoding` utf-8), or base64; null where it was dropped or
    may not be seen. `body_bytes` is null where it was dropped.
    """

    id: str
    at: str | None
    store: str
    state: str
    outcome: str | None
    error_kind: str | None
    reason: str | None
    source: str
    type: str
    change: str
    record: str
    occurred_at: str | None
    received_at: str | None
    attempts: int
    worker_crashes: int
    generation: int
    running: str | None
    waiting_for: str | None
    next_attempt_at: str | None
    headers: Mapping[str, str]
    traceparent: str | None
    body: Any
    body_bytes: int | None
    encoding: Literal["json", "utf-8", "base64"] | None
    effects: Sequence[EffectView]
    history: Sequence[Mapping[str, Any]]


async def locate_event(places: NamedStores, event_id: str) -> tuple[NamedStore, dict[str, Any]]:
    """Find an event and everything its store has of it.

    Raises:
        Rejection: 404 `not_found`.
        StoreUnavailable: a store does not answer.
    """
    for place in places:
        shown = await place.store.events.get(event_id)
        if shown is not None:
            return place, shown
    raise Rejection(404, "not_found", f"There is no event {event_id[:64]}.")


async def get_event(places: NamedStores, event_id: str, sight: Visibility, *, dead_only: bool = False) -> EventView:
    """Show one event; `dead_only` asks for a dead letter.

    Raises:
        Rejection: 404 `not_found`.
        StoreUnavailable: a store does not answer.
    """
    place, shown = await locate_event(places, event_id)
    if dead_only and shown["state"] != "dead":
        raise Rejection(404, "not_found", f"{event_id[:64]} is no dead letter; it is {shown['state']}.")
    at_ms = await place.overview.event_time_ms(event_id)
    return view_event(place.name, shown, at_ms, sight)


def view_event(store: str, shown: Mapping[str, Any], at_ms: int, sight: Visibility) -> EventView:
    """Make the view of what a store shows of an event."""
    summary = summarize(shown)
    event: Mapping[str, Any] = shown["event"] or NOTHING
    received = _line(shown, "received")
    body: bytes | None = event.get("body")
    seen, encoding = (None, None) if body is None else view_body(body, sight)
    waits = NOTHING if "running" in shown else shown
    return EventView(
        id=summary.id,
        at=format_timestamp(at_ms) if at_ms else None,
        store=store,
        state=summary.state,
        outcome=summary.outcome or None,
        error_kind=summary.error_kind or None,
        reason=shown.get("reason"),
        source=summary.source,
        type=summary.type,
        change=summary.change,
        record=summary.record,
        occurred_at=event.get("occurred_at") or received.get("occurred_at"),
        received_at=format_timestamp(received["at_ms"]) if "at_ms" in received else None,
        attempts=summary.attempts,
        worker_crashes=int(shown.get("worker_crashes", 0)),
        generation=int(shown.get("generation", 0)),
        running=shown.get("running"),
        waiting_for=waits.get("waiting_for") or None,
        next_attempt_at=format_timestamp(int(waits["next_ms"])) if "next_ms" in waits else None,
        headers=scrub(dict(event.get("headers", {}))),
        traceparent=event.get("traceparent"),
        body=seen,
        body_bytes=None if body is None else len(body),
        encoding=encoding,
        effects=[_seen_effect(effect, sight) for effect in effects_of(shown)],
        history=[_seen_line(line, sight) for line in shown["history"]],
    )


def view_body(body: bytes, sight: Visibility) -> tuple[Any, Literal["json", "utf-8", "base64"] | None]:
    """Give what may be seen of a body, and how it is written."""
    if sight == "outline":
        return None, None
    if sight == "raw":
        try:
            return body.decode(), "utf-8"
        except UnicodeDecodeError:
            return base64.b64encode(body).decode(), "base64"
    try:
        return scrub(to_plain(msgspec.json.decode(body))), "json"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return f"[{len(body)} bytes that are no JSON]", "utf-8"


def effects_of(shown: Mapping[str, Any]) -> list[EffectView]:
    """The effects of an event's decision, each with where the ledger says it stands."""
    decided = _line(shown, "decided")
    ledger: str = shown.get("ledger", "")
    return [
        EffectView(
            effect["rule_id"],
            effect["action_id"],
            effect["action_type"],
            effect["repeat"],
            EFFECT_STATES.get(ledger[place : place + 1], "planned"),
            effect.get("inputs"),
        )
        for place, effect in enumerate(decided.get("effects", ()))
    ]


def summarize(shown: Mapping[str, Any]) -> EventSummary:
    """Tell in short what a store shows of an event; from its story once its bytes were dropped."""
    event, received = shown["event"], _line(shown, "received")
    subject = received if event is None else event
    return EventSummary(
        id=shown["id"],
        at_ms=0,
        state=shown["state"],
        outcome=shown.get("outcome", ""),
        error_kind=shown.get("error_kind", ""),
        attempts=int(shown.get("attempts", 0)),
        ledger=shown.get("ledger", ""),
        source=subject.get("source", ""),
        type=subject.get("type", ""),
        change=subject.get("change", ""),
        record=received.get("record", "") if event is None else event["record"].lane,
    )


def _line(shown: Mapping[str, Any], entry: str) -> Mapping[str, Any]:
    """The first line of a story of the kind `entry`; an empty one where there is none."""
    history: Sequence[Mapping[str, Any]] = shown["history"]
    return next((line for line in history if line.get("entry") == entry), NOTHING)


def _seen_effect(effect: EffectView, sight: Visibility) -> EffectView:
    return msgspec.structs.replace(effect, inputs=_seen(effect.inputs, sight))


def _seen_line(line: Mapping[str, Any], sight: Visibility) -> Mapping[str, Any]:
    if sight == "raw":
        return line
    visible = {name: _seen(value, sight) if name in _INNER else value for name, value in line.items()}
    if "effects" in visible:
        visible["effects"] = [{**effect, "inputs": _seen(effect.get("inputs"), sight)} for effect in visible["effects"]]
    return scrub(visible)


def _seen(value: JsonValue, sight: Visibility) -> JsonValue:
    if sight == "raw":
        return value
    return None if sight == "outline" else scrub(to_plain(value))
