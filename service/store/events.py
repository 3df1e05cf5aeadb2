"""Reading what the store knows of events: one whole, or a page of an index. Never on the hot path."""

import json
from typing import Any, Literal

import msgspec
from msgspec import Struct

from service.store.client import Client
from service.store.keys import Keys
from service.store.last_states import read_last_state
from service.store.packing import split_ended, unfold, unpack_event
from service.store.scripts import PAGE, SHOW

Index = Literal["open", "dead", "ended"]

CALL_SECONDS_MAX = 5.0
PAGE_EVENTS_MAX = 200
SCANNED_EVENTS_MAX = 100_000
RECEIVED_MARK = b'{"what":"received"'


class EventSummary(Struct, frozen=True):
    """An event in one row; `at_ms` is when it arrived, died or ended, by the index it was found in."""

    id: str
    at_ms: int
    state: str
    fate: str
    attempts: int
    ledger: str
    source: str
    type: str
    change: str
    record: str


class Filter(Struct, frozen=True, kw_only=True):
    """Which events are wanted: each part that is given has to fit; moments in ms."""

    source: str | None = None
    type: str | None = None
    fate: str | None = None
    record: str | None = None
    state: str | None = None
    after_ms: int | None = None
    before_ms: int | None = None

    def fits(self, summary: EventSummary) -> bool:
        """Whether an event is wanted; `fate` is the end, or a dead letter's error."""
        named = (
            (self.source, summary.source),
            (self.type, summary.type),
            (self.fate, summary.fate),
            (self.record, summary.record),
            (self.state, summary.state),
        )
        in_time = self.after_ms is None or summary.at_ms >= self.after_ms
        return in_time and all(wanted is None or wanted == has for wanted, has in named)


class Events:
    """Shows events. Bodies are given as they came; who shows them to people redacts."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def show(self, event_id: str) -> dict[str, Any] | None:
        """Everything the store has of an event, None if it has nothing.

        `event` is the event as it arrived (None once its body was dropped, or where it cannot be read), `state`
        waiting, decided, ended or dead, `story` the list of what happened, oldest first.

        Raises:
            StoreUnavailable: no answer.
        """
        answer: tuple[bytes | None, list[bytes], bytes | None]
        answer = await self._client.call(SHOW, (event_id,), seconds_max=CALL_SECONDS_MAX)
        delivery, flat, story = answer
        texts = [item.decode() for item in flat]
        fields = dict(zip(texts[::2], texts[1::2], strict=True))
        if not fields:
            story, fields = split_ended(story or b"")
        if delivery is None and not fields:
            return None
        return {
            "id": event_id,
            "event": _read(event_id, delivery) if delivery else None,
            "state": fields.pop("state", "waiting"),
            **fields,
            "story": [json.loads(line) for line in unfold(story or b"").splitlines()],
        }

    async def last_fields(self, lane: str) -> bytes | None:
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

    async def find(
        self, index: Index, wanted: Filter, events_max: int, scanned_events_max: int = SCANNED_EVENTS_MAX
    ) -> list[EventSummary]:
        """At most `events_max` events of an index that fit a filter, newest first, out of `scanned_events_max` at most.

        Raises:
            StoreUnavailable: no answer.
        """
        found: list[EventSummary] = []
        scanned = 0
        while len(found) < events_max and scanned < scanned_events_max:
            # Paged by place, not by moment: many events can die in one millisecond.
            page = await self.page(index, PAGE_EVENTS_MAX, wanted.before_ms, scanned)
            found += [summary for summary in page if wanted.fits(summary)]
            scanned += len(page)
            if len(page) < PAGE_EVENTS_MAX or page[-1].at_ms < (wanted.after_ms or 0):
                break
        return found[:events_max]


def _read(event_id: str, delivery: bytes) -> dict[str, Any] | None:
    try:
        return msgspec.structs.asdict(unpack_event(event_id, delivery))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _summary(row: list[str], story: bytes) -> EventSummary:
    event_id, at_ms, state, fate, attempts, ledger, *told = row
    source, kind, change, record = _received(story) if story else told
    return EventSummary(event_id, int(float(at_ms)), state, fate, int(attempts), ledger, source, kind, change, record)


def _received(story: bytes) -> tuple[str, str, str, str]:
    """Source, type, change and record of an event whose bytes are dropped, from the beginning of its story."""
    for line in unfold(story).splitlines():
        if line.startswith(RECEIVED_MARK):
            try:
                received = json.loads(line)
            except ValueError:
                break
            return received["source"], received["type"], received["change"], received["record"]
    return "", "", "", ""
