"""View of one event: state, delivery, effects and history.

Three visibilities: `outline` has no body, no inputs of effects and no headers that only some sources store.
`redacted` has them without secrets and personal data, `raw` unchanged. Exchanges are in
`service.management.exchange_view`.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from service.body_redaction import redact_headers, redact_text
from service.errors import Rejection
from service.events import JsonValue
from service.management.audit_log import Actor
from service.management.differences import DifferingDuplicates, differing_duplicates
from service.management.event_filter import format_timestamp
from service.management.event_ids import find_event_id
from service.management.exchange_view import Visibility, complete_exchanges, visible_exchange
from service.management.stores import NamedStore, NamedStores
from service.redaction import IS_SECRET_OR_PERSONAL, scrub, to_plain
from service.rules.delivery_fields import READABLE_HEADERS
from service.rules.stored_decisions import effects_of_decisions
from service.store.management.events import EventSummary, read_number

EFFECT_STATES = {
    "p": "planned", "s": "started", "d": "done", "f": "failed", "u": "outcome_unknown", "w": "deferred",
    "x": "superseded",
}  # fmt: skip
"""State of an effect by its letter in the ledger, as in `service.store.queue.lanes.LaneHead`."""

_EMPTY: Mapping[str, Any] = {}

_PERSONAL_FIELDS = ("inputs", "answer")
"""Fields of history entries that may hold personal data."""


class EffectView(Struct, frozen=True):
    """Effect of the decision: rule, action, retry safety and state.

    `waiting_behind` is the earlier event whose effect of this rule and action is unfinished.
    """

    rule_id: str
    action_id: str
    action_type: str
    repeat: str
    state: str
    inputs: Any = None
    waiting_behind: str | None = None


class EventFacts(Struct, frozen=True, kw_only=True):
    """Facts of an event that its view and its explanation have in common. Times are UTC.

    `running` identifies the attempt in progress. `waiting_for` is the reason of a deferred attempt: an error kind,
    `fetch_delay`, `stale_read`, `earlier_effect` or `rules_evaluated`. `next_attempt_at` is its next time. Both are
    null if no attempt was deferred. There is no time for `earlier_effect`.
    """

    id: str
    state: str
    outcome: str | None
    error_kind: str | None
    reason: str | None
    source: str
    type: str
    change: str
    record: str
    received_at: str | None
    running: str | None
    waiting_for: str | None
    next_attempt_at: str | None
    differing_duplicates: DifferingDuplicates | None = None


class EventView(EventFacts, frozen=True, kw_only=True):
    """Event with its delivery, effects and history.

    `body` is redacted JSON, text (`encoding` utf-8) or base64; null if the body has expired or is not visible.
    `body_bytes` is null if the body has expired.
    """

    at: str | None
    store: str
    occurred_at: str | None
    attempts: int
    worker_crashes: int
    generation: int
    headers: Mapping[str, str]
    traceparent: str | None
    body: Any
    body_bytes: int | None
    encoding: Literal["json", "utf-8", "base64"] | None
    effects: Sequence[EffectView]
    history: Sequence[Mapping[str, Any]]


def visibility_of(actor: Actor, *, raw: bool) -> Visibility:
    """Return the part of stored data that an actor may see.

    Raises:
        Rejection: 403 `permission_denied`: `raw` without the role admin.
    """
    if raw and actor.role != "admin":
        raise Rejection(403, "permission_denied", f"Raw bodies take the role admin; {actor.name} is {actor.role}.")
    if raw:
        return "raw"
    return "outline" if actor.role == "viewer" else "redacted"


async def locate_event(stores: NamedStores, event_id: str) -> tuple[NamedStore, dict[str, Any]]:
    """Find an event by its id or a unique prefix of it. Return its store and its stored data, with the `id`.

    Raises:
        Rejection: 404 `not_found`; 422 `invalid`: several ids begin with the prefix.
        StoreUnavailable: A store does not answer.
    """
    for named in stores:
        shown = await named.store.events.get(event_id)
        if shown is not None:
            return named, shown
    whole_id = await find_event_id(stores, event_id)
    if whole_id is None:
        raise Rejection(404, "not_found", f"Event {event_id[:64]} not found.")
    return await locate_event(stores, whole_id)


def view_event(store: str, shown: Mapping[str, Any], at_ms: int, visibility: Visibility) -> EventView:
    """Build the view of an event from its stored data."""
    summary = summarize(shown)
    event: Mapping[str, Any] = shown["event"] or _EMPTY
    received = _first_entry(shown, "received")
    body: bytes | None = event.get("body")
    visible, encoding = (None, None) if body is None else view_body(body, visibility)
    waiting_for, next_attempt_at = _deferral(shown)
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
        worker_crashes=read_number(shown.get("worker_crashes", "")),
        generation=read_number(shown.get("generation", "")),
        running=shown.get("running"),
        waiting_for=waiting_for,
        next_attempt_at=next_attempt_at,
        headers=_visible_headers(event.get("headers", {}), visibility),
        traceparent=event.get("traceparent"),
        body=visible,
        body_bytes=None if body is None else len(body),
        encoding=encoding,
        differing_duplicates=differing_duplicates(shown, visibility),
        effects=[_visible_effect(effect, visibility) for effect in effects_of(shown)],
        history=[_visible_entry(entry, visibility) for entry in complete_exchanges(shown["history"])],
    )


def view_body(body: bytes, visibility: Visibility) -> tuple[Any, Literal["json", "utf-8", "base64"] | None]:
    """Return the visible form of a body, and its encoding."""
    if visibility == "outline":
        return None, None
    if visibility == "raw":
        try:
            return body.decode(), "utf-8"
        except UnicodeDecodeError:
            return base64.b64encode(body).decode(), "base64"
    try:
        return scrub(to_plain(msgspec.json.decode(body))), "json"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return f"[{len(body)} bytes, not JSON]", "utf-8"


def _visible_headers(headers: Mapping[str, str], visibility: Visibility) -> Mapping[str, str]:
    if visibility == "outline":
        headers = {name: value for name, value in headers.items() if name in READABLE_HEADERS}
    return scrub(dict(headers) if visibility == "raw" else redact_headers(headers, IS_SECRET_OR_PERSONAL))


def effects_of(shown: Mapping[str, Any]) -> list[EffectView]:
    """Return the effects of the decisions, each with its state in the ledger."""
    ledger: str = shown.get("ledger", "")
    behind: Sequence[str] = shown.get("behind") or ()
    return [
        EffectView(
            effect["rule_id"],
            effect["action_id"],
            effect["action_type"],
            effect["repeat"],
            EFFECT_STATES.get(ledger[index : index + 1], "planned"),
            effect.get("inputs"),
            next(iter(behind[index : index + 1]), None) or None,
        )
        for index, effect in enumerate(effects_of_decisions(shown["history"]))
    ]


def summarize(shown: Mapping[str, Any]) -> EventSummary:
    """Build the summary of an event from its stored data, or from its history after the body has expired."""
    event, received = shown["event"], _first_entry(shown, "received")
    subject = received if event is None else event
    return EventSummary(
        id=shown["id"],
        at_ms=0,
        state=shown["state"],
        outcome=shown.get("outcome", ""),
        error_kind=shown.get("error_kind", ""),
        attempts=read_number(shown.get("attempts", "")),
        ledger=shown.get("ledger", ""),
        source=subject.get("source", ""),
        type=subject.get("type", ""),
        change=subject.get("change", ""),
        record=received.get("record", "") if event is None else event["record"].lane,
    )


def _deferral(shown: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the reason and the end of a wait, unless an attempt is running."""
    if "running" in shown:
        return None, None
    next_at = format_timestamp(read_number(shown["next_ms"])) if "next_ms" in shown else None
    return shown.get("waiting_for") or None, next_at


def _first_entry(shown: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Return the first history entry of a kind, or an empty one."""
    history: Sequence[Mapping[str, Any]] = shown["history"]
    return next((entry for entry in history if entry.get("entry") == kind), _EMPTY)


def _visible_effect(effect: EffectView, visibility: Visibility) -> EffectView:
    return msgspec.structs.replace(effect, inputs=_visible(effect.inputs, visibility))


def _visible_entry(entry: Mapping[str, Any], visibility: Visibility) -> Mapping[str, Any]:
    if visibility == "raw":
        return entry
    visible = {
        name: _visible(value, visibility) if name in _PERSONAL_FIELDS else value for name, value in entry.items()
    }
    visible.pop("previous", None)  # encoded, for another evaluation of failed rules
    if "exchange" in visible:
        visible["exchange"] = visible_exchange(visible["exchange"], visibility)
    if "effects" in visible:
        visible["effects"] = [
            {**effect, "inputs": _visible(effect.get("inputs"), visibility)} for effect in visible["effects"]
        ]
    return scrub(visible)


def _visible(value: JsonValue, visibility: Visibility) -> JsonValue:
    if visibility == "raw":
        return value
    if visibility == "outline" or value is None:
        return None
    return scrub(msgspec.json.decode(redact_text(msgspec.json.encode(value).decode(), IS_SECRET_OR_PERSONAL)))
