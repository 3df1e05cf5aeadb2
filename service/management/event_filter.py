"""Which events are meant, and where a page of them goes on. Pure.

A page ends at a cursor, the moment and id of its last event. Events that move meanwhile (a dead letter that is replayed
and dies again) come back with a later moment, so a walk from page to page, newest first, never meets them again.
"""

import re
from datetime import UTC, datetime
from typing import Literal, Self

from msgspec import Struct

from service.errors import Rejection
from service.store.management.events import EventSummary, Index

State = Literal["queued", "decided", "dead", "ended"]

_CURSOR = re.compile(r"(\d{1,15})-([0-9A-Za-z_-]{1,64})", re.ASCII)
_INDEXES: dict[State | None, tuple[Index, ...]] = {
    None: ("open", "dead", "ended"),
    "queued": ("open",),
    "decided": ("open",),
    "dead": ("dead",),
    "ended": ("ended",),
}


class EventFilter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events are meant: each part that is given has to fit.

    `outcome` is how an event ended, `error_kind` a dead letter's error. `record` is a whole lane
    (`pack:customer:1`) or a record's id alone. `rule` is one whose effects the event's decision asked for; of a dead
    letter, one with effects that are not done. `since` and `until` are when it arrived, died or ended; without a zone
    they are UTC.
    """

    source: str | None = None
    type: str | None = None
    outcome: str | None = None
    error_kind: str | None = None
    record: str | None = None
    rule: str | None = None
    state: State | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def indexes(self) -> tuple[Index, ...]:
        """The store's indexes in which such events are."""
        return _INDEXES[self.state]

    @property
    def is_unfiltered(self) -> bool:
        """Whether nothing but the state narrows it down."""
        parts = (
            self.source, self.type, self.outcome, self.error_kind, self.record, self.rule, self.since, self.until,
        )  # fmt: skip
        return all(part is None for part in parts)

    def matches(self, summary: EventSummary) -> bool:
        """Whether an event of one of the `indexes` is meant, `rule`, `since` and `until` aside."""
        named = (
            (self.source, summary.source),
            (self.type, summary.type),
            (self.outcome, summary.outcome),
            (self.error_kind, summary.error_kind),
            # In `dead` and `ended` the index says it all; in `open` two states lie together.
            (self.state if self.indexes == ("open",) else None, summary.state),
        )
        return all(event_filter is None or event_filter == has for event_filter, has in named) and self._fits_record(
            summary.record
        )

    def _fits_record(self, lane: str) -> bool:
        return self.record is None or self.record == lane or lane.endswith(f":{self.record}")


class Cursor(Struct, frozen=True, order=True):
    """Where a page ended: the last event's moment in ms, and its id."""

    at_ms: int
    id: str

    @classmethod
    def of(cls, summary: EventSummary) -> Self:
        """The cursor behind an event."""
        return cls(summary.at_ms, summary.id)

    @classmethod
    def read(cls, text: str | None) -> Self | None:
        """Read what a page gave as `next`.

        Raises:
            Rejection: 422 `invalid`, it is none.
        """
        if text is None:
            return None
        found = _CURSOR.fullmatch(text)
        if found is None:
            raise Rejection(422, "invalid", "Send as `after` what the page before gave as `next`.")
        return cls(int(found[1]), found[2])

    def write(self) -> str:
        """Write it for `next`."""
        return f"{self.at_ms}-{self.id}"


def to_epoch_ms(moment: datetime | None) -> int | None:
    """Give a moment in ms since the epoch; without a zone it is UTC."""
    if moment is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(aware.timestamp() * 1000)


def format_timestamp(at_ms: float) -> str:
    """Write a moment for people and programs: `2026-11-20T08:15:30.042Z`."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
