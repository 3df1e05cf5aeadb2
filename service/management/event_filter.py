"""Filter of events, and the cursor between pages. Pure.

A cursor holds the time and id of the last event of a page. An event that moves in the meantime gets a later time. Pages
run from new to old, so that an event is on one page only.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Literal, Self

from msgspec import Struct

from service.errors import Rejection
from service.store.management.events import EventSummary, Index
from service.timestamps import parse_iso_time

State = Literal["queued", "decided", "dead", "ended"]
Verdict = Literal["matched", "unmatched", "unknown", "error"]

EVENT_OUTCOMES = (
    "matched", "unmatched", "record_missing", "unchanged", "stale", "resolved", "ignored", "dead_lettered", "discarded",
    "expired",
)  # fmt: skip
"""Outcomes with which an event ends."""

_AGE = re.compile(r"(\d{1,6})([smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
CURSOR_PATTERN = r"^([0-9]{1,15})-([0-9A-Za-z_-]{1,64})$"
_CURSOR = re.compile(CURSOR_PATTERN)
_INDEXES: dict[State | None, tuple[Index, ...]] = {
    None: ("open", "dead", "ended"),
    "queued": ("open",),
    "decided": ("open",),
    "dead": ("dead",),
    "ended": ("ended",),
}


class EventFilter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filter of events. An event must match every field that is set.

    `outcome` is the outcome of an event, `error_kind` the error of a dead letter. `record` is a lane
    (`pack:customer:1`) or the id of a record. `rule` is a rule with effects in the decision; for a dead letter, with
    effects that are not done. `verdict` is the result of a rule of the decision: of `rule`, or of any. `since` and
    `until` limit the time of arrival, death or end; UTC without a zone.
    """

    source: str | None = None
    type: str | None = None
    outcome: str | None = None
    error_kind: str | None = None
    record: str | None = None
    rule: str | None = None
    verdict: Verdict | None = None
    state: State | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def indexes(self) -> tuple[Index, ...]:
        """Indexes of the store that hold events in this state."""
        return _INDEXES[self.state]

    @property
    def is_unfiltered(self) -> bool:
        """Return True if no field except `state` is set."""
        fields = (
            self.source, self.type, self.outcome, self.error_kind, self.record, self.rule, self.verdict, self.since,
            self.until,
        )  # fmt: skip
        return all(field is None for field in fields)

    def matches(self, summary: EventSummary) -> bool:
        """Return whether an event of one of the `indexes` matches, without `rule`, `verdict`, `since` and `until`."""
        pairs = (
            (self.source, summary.source),
            (self.type, summary.type),
            (self.outcome, summary.outcome),
            (self.error_kind, summary.error_kind),
            # The index `open` holds two states; the other indexes hold one.
            (self.state if self.indexes == ("open",) else None, summary.state),
        )
        return all(expected is None or expected == actual for expected, actual in pairs) and self._matches_record(
            summary.record
        )

    def _matches_record(self, lane: str) -> bool:
        return self.record is None or self.record == lane or lane.endswith(f":{self.record}")


class Cursor(Struct, frozen=True, order=True):
    """End of a page: time of the last event in milliseconds since the epoch, and its id."""

    at_ms: int
    id: str

    @classmethod
    def of(cls, summary: EventSummary) -> Self:
        """Return the cursor after an event."""
        return cls(summary.at_ms, summary.id)

    @classmethod
    def parse(cls, text: str | None) -> Self | None:
        """Parse the `next` of a page.

        Raises:
            Rejection: 422 `invalid`: not a cursor.
        """
        if text is None:
            return None
        found = _CURSOR.fullmatch(text)
        if found is None:
            raise Rejection(422, "invalid", "Not a valid cursor. Send the `next` of the previous page as `after`.")
        return cls(int(found[1]), found[2])

    def format(self) -> str:
        """Format the cursor for `next`."""
        return f"{self.at_ms}-{self.id}"


def parse_time_filter(text: str) -> datetime:
    """Parse a timestamp in ISO 8601 (default zone: UTC), or an age such as 90m, 2h or 3d.

    Raises:
        ValueError: The text is neither.
    """
    age = _AGE.fullmatch(text)
    try:
        if age is not None:
            return datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
        timestamp = parse_iso_time(text)
    except (ValueError, OverflowError):
        detail = f"{text[:64]!r} is not valid. Give a timestamp such as 2026-11-20T08:15, or an age such as 2h."
        raise ValueError(detail) from None
    return timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)


def to_epoch_ms(moment: datetime | None) -> int | None:
    """Return the milliseconds since the epoch; a time without a zone is UTC."""
    if moment is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(aware.timestamp() * 1000)


def format_timestamp(at_ms: float) -> str:
    """Format milliseconds since the epoch as ISO 8601: `2026-11-20T08:15:30.042Z`."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
