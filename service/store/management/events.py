"""Reads of stored events: one event with its history, or a page of an index. Not used on the hot path."""

import json
from typing import Any, Literal, cast

import msgspec
from msgspec import Struct

from service.store.connection.client import Client
from service.store.keys import Keys
from service.store.queue.lanes import decode_score
from service.store.queue.last_state import decode_last_state
from service.store.queue.serialization import decode_event, decompress_history, split_ended
from service.store.scripts import PAGE, SHOW

Index = Literal["open", "dead", "ended"]

CALL_SECONDS_MAX = 5.0
PAGE_EVENTS_MAX = 200
ID_PAGE_MAX = 10_000
DAMAGED_BYTES_MAX = 300
NUMBER_DIGITS_MAX = 15
RECEIVED_PREFIX = b'{"entry":"received"'


class EventSummary(Struct, frozen=True):
    """Row of an index. `at_ms` is the time of receipt, of the dead letter or of the end, depending on the index."""

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
    """Reads events. Bodies are returned unchanged; callers redact them before output."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def get(self, event_id: str) -> dict[str, Any] | None:
        """Get the stored data of an event.

        Returns:
            None if the event is not stored. Otherwise a dict, with at least these keys:
            `event`: the received event; None after its body expired or if it is damaged.
            `state`: queued, decided, ended or dead.
            `outcome`: the outcome of an ended event; dead_lettered for a dead letter.
            `error_kind`: the error of a dead letter.
            `behind`: per effect the event for which it waits, or ''. Empty if no effect is in an order.
            `differing`: None, or `count`, `at_ms` and `event` of the newest duplicate with other content.
            `history`: the entries, oldest first. A damaged one is an entry `undecodable` with its text.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        reply: tuple[bytes | None, list[bytes], bytes | None, list[bytes], list[bytes | None]]
        reply = await self._client.call(SHOW, (event_id,), seconds_max=CALL_SECONDS_MAX)
        delivery, flat, history, behind, differing = reply
        texts = [item.decode(errors="replace") for item in flat]
        fields = dict(zip(texts[::2], texts[1::2], strict=True))
        if not fields:
            history, fields = split_ended(history or b"")
        if delivery is None and not fields:
            return None
        state = fields.pop("state", "queued")
        outcome, error_kind = _end(state, fields.pop("outcome", ""))
        return {
            "id": event_id,
            "event": _decode(event_id, delivery) if delivery else None,
            "state": state,
            "outcome": outcome,
            "error_kind": error_kind,
            **fields,
            "behind": [event.decode(errors="replace") for event in behind],
            "differing": _differing(event_id, differing),
            "history": [_entry(line) for line in decompress_history(history or b"").splitlines() if line],
        }

    async def previous_fields(self, lane: str) -> bytes | None:
        """Return the encoded fields of a record's last decided state; None before its first decision.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        return decode_last_state(await self._client.command("GET", self._keys.record(lane))).fields or None

    async def page(
        self, index: Index, events_max: int, before_ms: int | None = None, offset: int = 0
    ) -> list[EventSummary]:
        """Return at most `events_max` events of an index, newest first, not after `before_ms`, from `offset`.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        highest = "+inf" if before_ms is None else before_ms
        arguments = (index, highest, offset, events_max)
        rows: list[list[bytes]] = await self._client.call(PAGE, arguments, seconds_max=CALL_SECONDS_MAX)
        return [_summary([cell.decode(errors="replace") for cell in row[:-1]], row[-1]) for row in rows]

    async def count_between(self, index: Index, start_ms: int, end_ms: int) -> int:
        """Return the number of events of an index after `start_ms` until `end_ms`.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        return await self._client.command("ZCOUNT", self._keys.named(index), f"({start_ms}", end_ms)

    async def newest_ids(self, index: Index, offset: int) -> list[str]:
        """Return at most ID_PAGE_MAX ids of an index, newest first, from `offset`.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        stop = offset + ID_PAGE_MAX - 1
        ids: list[bytes] = await self._client.command("ZRANGE", self._keys.named(index), offset, stop, "REV")
        return [event_id.decode(errors="replace") for event_id in ids]

    async def ids_of(self, index: Index, record: str) -> list[str]:
        """Return the ids of all events of a record in an index.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        found: list[str] = []
        offset = 0
        while True:
            # By offset, not by time: one millisecond can have more events than a page.
            page = await self.page(index, PAGE_EVENTS_MAX, offset=offset)
            found += [summary.id for summary in page if summary.record == record]
            offset += len(page)
            if len(page) < PAGE_EVENTS_MAX:
                return found


def read_number(text: str | bytes) -> int:
    """Return the number in a field; 0 if another program changed it."""
    return int(text) if len(text) <= NUMBER_DIGITS_MAX and text.isdigit() and text.isascii() else 0


def _decode(event_id: str, delivery: bytes) -> dict[str, Any] | None:
    try:
        return msgspec.structs.asdict(decode_event(event_id, delivery))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _differing(event_id: str, fields: list[bytes | None]) -> dict[str, Any] | None:
    if len(fields) != 3 or None in fields:
        return None
    count, at_ms, encoded = cast("list[bytes]", fields)
    return {"count": read_number(count), "at_ms": read_number(at_ms), "event": _decode(event_id, encoded)}


def _entry(line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        entry = None
    return entry if isinstance(entry, dict) and "entry" in entry else _damaged_entry(line)  # pyright: ignore[reportUnknownVariableType] - JSON of any shape


def _damaged_entry(line: bytes) -> dict[str, Any]:
    return {"entry": "undecodable", "text": line[:DAMAGED_BYTES_MAX].decode(errors="replace")}


def _summary(row: list[str], history: bytes) -> EventSummary:
    event_id, at_ms, state, outcome, attempts, ledger, *rest = row
    outcome, error_kind = _end(state, outcome)
    source, event_type, change, record = _received(history) if history else rest
    return EventSummary(
        event_id,
        decode_score(at_ms.encode()),
        state,
        outcome,
        error_kind,
        read_number(attempts),
        ledger,
        source,
        event_type,
        change,
        record,
    )


def _end(state: str, outcome: str) -> tuple[str, str]:
    """Return outcome and error kind. The store has one field for both: the error if the event is a dead letter."""
    return ("dead_lettered", outcome) if state == "dead" else (outcome, "")


def _received(history: bytes) -> tuple[str, str, str, str]:
    """Return source, type, change and record from the history of an event whose body expired."""
    for line in decompress_history(history).splitlines():
        if line.startswith(RECEIVED_PREFIX):
            try:
                received = json.loads(line)
            except ValueError:
                break
            return received["source"], received["type"], received["change"], received["record"]
    return "", "", "", ""
