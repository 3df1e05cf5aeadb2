"""Stored values of an attempt: the event, its decision, and the last state of its record.

A value that cannot be read raises PermanentError `undecodable` with its key: the event becomes a dead letter.
"""

from typing import NoReturn

from service.errors import PermanentError
from service.events import EVENT_VERSION, Event, RecordRef
from service.store import LaneHead, LastState
from service.store.keys import Keys
from service.store.queue.last_state import EncodedLastState, decode_last_state
from service.store.queue.serialization import decode_event
from workers.processing.effects import LEDGER_LETTERS
from workers.processing.history import DecisionEntry, read_decision, read_received

STATES = frozenset({"", "decided"})
"""States of an event in progress."""


def check_head(keys: Keys, head: LaneHead) -> None:
    """Check the fields of the event's hash.

    Raises:
        PermanentError: a field cannot be read.
    """
    if head.damaged:
        raise PermanentError("undecodable", f"{head.damaged}: correct or delete it, then replay the event")
    if head.state not in STATES:
        _fail(keys.event(head.id), f"the field state is {head.state[:50]!r}")


def load_event(keys: Keys, head: LaneHead, *, with_body: bool = False) -> Event:
    """Decode the event of a lane head. Without its bytes, a decided event is rebuilt from its history.

    Raises:
        PermanentError: the bytes are missing, or of a version that this worker cannot decode.
    """
    if head.delivery is None and head.state == "decided":
        return _event_from_history(keys, head)
    if head.delivery is None:
        raise PermanentError("payload_missing", "the bytes of the event are not in the store")
    try:
        return decode_event(head.id, head.delivery, with_body=with_body)
    except (ValueError, RecursionError) as error:
        _fail(keys.delivery(head.id), error)


def load_decision(keys: Keys, head: LaneHead) -> DecisionEntry:
    """Decode the decision of a decided event, and check that its ledger belongs to it.

    Raises:
        PermanentError: the decision or the ledger cannot be read.
    """
    decided = read_decision(head.history)
    if decided is None:
        _fail(keys.history(head.id), "it has no decision of this version")
    if len(head.ledger) != len(decided.effects) or not set(head.ledger) <= LEDGER_LETTERS:
        _fail(keys.event(head.id), f"the field ledger is {head.ledger[:50]!r}, for {len(decided.effects)} effects")
    return decided


def load_last_state(keys: Keys, record: RecordRef, encoded: EncodedLastState) -> LastState:
    """Decode the last decided state of a record.

    Raises:
        PermanentError: it cannot be read.
    """
    try:
        return decode_last_state(encoded)
    except ValueError as error:
        _fail(keys.record(record.lane), error)


def _event_from_history(keys: Keys, head: LaneHead) -> Event:
    received = read_received(head.history)
    if received is None:
        raise PermanentError("payload_missing", "neither the bytes nor the history of the event are in the store")
    try:
        platform, kind, record_id = received.record.split(":", 2)
    except ValueError as error:
        _fail(keys.history(head.id), error)
    return Event(
        version=EVENT_VERSION,
        id=head.id,
        source=received.source,
        type=received.type,
        change=received.change,
        record=RecordRef(platform, kind, record_id),
        occurred_at=received.occurred_at,
        headers={},
        traceparent=None,
        body=b"",
    )


def _fail(key: str, reason: object) -> NoReturn:
    message = f"this version cannot decode {key}: {reason}. Correct or delete it, then replay the event"
    raise PermanentError("undecodable", message) from None
