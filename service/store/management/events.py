"""Reading what the store knows of events: one whole, or a page of an index. Never on the hot path."""

import json
from typing import Any, Literal

import msgspec
from msgspec import Struct

from service.store.connection.client import Client
from service.store.keys import Keys
from service.store.queue.last_state import read_last_state
from service.store.queue.serialization import decode_event, decompress_history, split_ended
from service.store.scripts import PAGE, SHOW

Index = Literal["open", "dead", "ended"]

CALL_SECONDS_MAX = 5.0
PAGE_EVENTS_MAX = 200
RECEIVED_MARK = b'{"entry":"received"'


SHOWN = {"deaths": "worker_crashes", "waits_for": "waiting_for"}
"""Fields of the stored event and their names in what `get` returns."""


class EventSummary(Struct, frozen=True):
    """An event in one row; `at_ms` is when it arrived, died or ended, by the index it was found in."""

    id: str
    at_ms: int
    state: str
    outcome: str
    error_kind: str
    attempts: int
    ledger: str
    source: str
    type: str
    change: str
    record: str


class EventReader:
    """Shows events. Bodies are given as they came; who shows them to people redacts."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def get(self, event_id: str) -> dict[str, Any] | None:
        """Everything the store has of an event, None if it has nothing.

        `event` is the event as it arrived (None once its body was dropped, or where it cannot be read), `state`
        queued, decided, ended or dead, `outcome` how it ended, `error_kind` a dead letter's error, `history` the
        list of what happened, oldest first.

        Raises:
            StoreUnavailable: no answer.
        """
        answer: tuple[bytes | None, list[bytes], bytes | None]
        answer = await self._client.call(SHOW, (event_id,), seconds_max=CALL_SECONDS_MAX)
        delivery, flat, history = answer
        texts = [item.decode() for item in flat]
        fields = dict(zip(texts[::2], texts[1::2], strict=True))
        if not fields:
            history, fields = split_ended(history or b"")
        if delivery is None and not fields:
            return None
        state = fields.pop("state", "queued")
        outcome, error_kind = _end(state, fields.pop("fate", ""))
        return {
            "id": event_id,
            "event": _read(event_id, delivery) if delivery else None,
            "state": state,
            "outcome": outcome,
            "error_kind": error_kind,
            **{SHOWN.get(name, name): value for name, value in fields.items()},
            "history": [json.loads(line) for line in decompress_history(history or b"").splitlines()],
        }

    async def previous_fields(self, lane: str) -> bytes | None:
        """What the last decision on a record remembers of it, as it was written; None before the first one.

        Raises:
            StoreUnavailable: no answer.
        """
        return read_last_state(await self._client.command("GET", self._keys.named(f"record:{lane}"))).fields or None

    async def page(
        self, index: Index, events_max: int, before_ms: int | None = None, passed_over: int = 0
    ) -> list[EventSummary]:
        """At most `events_max` events of an index, newest first, not after `before_ms`, the first few passed over.

        Raises:
            StoreUnavailable: no answer.
        """
        highest = "+inf" if before_ms is None else before_ms
        arguments = (index, highest, passed_over, events_max)
        rows: list[list[bytes]] = await self._client.call(PAGE, arguments, seconds_max=CALL_SECONDS_MAX)
        return [_summary([cell.decode(errors="replace") for cell in row[:-1]], row[-1]) for row in rows]

    async def ids_of(self, index: Index, record: str) -> list[str]:
        """The ids of every event of a record in an index.

        Raises:
            StoreUnavailable: no answer.
        """
        found: list[str] = []
        passed_over = 0
        while True:
            # By place, not by moment: more events than a page holds can have died in one millisecond.
            page = await self.page(index, PAGE_EVENTS_MAX, passed_over=passed_over)
            found += [summary.id for summary in page if summary.record == record]
            passed_over += len(page)
            if len(page) < PAGE_EVENTS_MAX:
                return found


def _read(event_id: str, delivery: bytes) -> dict[str, Any] | None:
    try:
        return msgspec.structs.asdict(decode_event(event_id, delivery))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _summary(row: list[str], history: bytes) -> EventSummary:
    event_id, at_ms, state, fate, attempts, ledger, *rest = row
    outcome, error_kind = _end(state, fate)
    source, kind, change, record = _received(history) if history else rest
    return EventSummary(
        event_id, int(float(at_ms)), state, outcome, error_kind, int(attempts), ledger, source, kind, change, record
    )


def _end(state: str, outcome: str) -> tuple[str, str]:
    """Return outcome and error kind: the store has one field for how an event ended and for a dead letter's error."""
    return ("dead_lettered", outcome) if state == "dead" else (outcome, "")


def _received(history: bytes) -> tuple[str, str, str, str]:
    """Source, type, change and record of an event whose bytes are dropped, from the beginning of its story."""
    for line in decompress_history(history).splitlines():
        if line.startswith(RECEIVED_MARK):
            try:
                received = json.loads(line)
            except ValueError:
                break
            return received["source"], received["type"], received["change"], received["record"]
    return "", "", "", ""
