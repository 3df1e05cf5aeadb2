"""The words for what arrives: a delivery, the fact it tells, the event we keep. Plain values; nothing here does I/O.

A sender makes a *delivery* (one HTTP request). Reading it gives *facts* ("this record changed"). A fact we take in
becomes an *event* with an id of ours, and is what the store keeps and the worker judges.
"""

import hashlib
import os
import time
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

ChangeType = Literal["created", "updated", "deleted", "changed"]
"""What happened to the record, in our words; `changed` where the sender only says that something did."""

EVENT_VERSION = 1

JsonValue = Any
"""Text, numbers, true, false, None, and lists and dicts of these."""


class RecordRef(Struct, frozen=True, array_like=True):
    """Which record a fact is about: the configured platform account, the kind, and the platform's own id as text.

    `kind` is `purchase_order` or `customer`, or the name of a hint (`order`, `appointment`, …) which the platform's
    chain resolves to one of the two before anything is decided.
    """

    platform: str
    kind: str
    id: str

    @property
    def lane(self) -> str:
        """The name of the record's lane: `pack:purchase_order:5a7d2f90`."""
        return f"{self.platform}:{self.kind}:{self.id}"


class Delivery(Struct, frozen=True):
    """One HTTP request from a sender, as received: header names in lower case, the body as its bytes.

    `received_at` is in seconds since the epoch by our clock; `address` is the peer's.
    """

    source: str
    headers: Mapping[str, str]
    body: bytes
    received_at: float
    address: str = ""
    path_token: str | None = None


class Fact(Struct, frozen=True):
    """What one delivery says happened. `record` is None for pings, tests and types nobody asked for.

    `id` is the sender's event id if it stands in the body or in a signed header, else None. `occurred_at` is the
    sender's own text, never trusted for anything but display and staleness. `reason` says why there is no record where
    nobody may have meant it so: `unknown_kind`, the account has no records of the kind that was named.
    """

    type: str
    id: str | None = None
    change: ChangeType = "changed"
    record: RecordRef | None = None
    occurred_at: str | None = None
    reason: str | None = None


class Event(Struct, frozen=True, array_like=True):
    """A fact that is taken in: what the store keeps until it ended. Fields are only ever added at the end."""

    version: int
    id: str
    source: str
    type: str
    change: ChangeType
    record: RecordRef
    occurred_at: str | None
    headers: dict[str, str]
    traceparent: str | None
    body: bytes
    depth: int = 0
    """How many `emit` actions lie between a sender and this event."""
    identified: bool = True
    """Whether the sender gave it an id; without one, the same change on the same state is not decided twice."""
    trail: str = ""
    """The `emit` actions that lie between a sender and this event, each as a digest, with commas between."""


_VARIANTS = {f"{digit:x}": f"{digit & 0b0011 | 0b1000:x}" for digit in range(16)}
"""The digit that holds the variant of a UUID (RFC 9562, 4.1), by the random one it is made of."""


def new_event_id(now: float | None = None) -> str:
    """Make an event id: 32 hex digits that sort by time (the layout of UUID version 7)."""
    milliseconds = int((time.time() if now is None else now) * 1000)
    # The kernel's own randomness: a sender sees ids, and must not be able to guess the next one.
    chance = os.urandom(10).hex()
    return f"{milliseconds:012x}7{chance[1:4]}{_VARIANTS[chance[4]]}{chance[5:]}"


def derived_event_id(hint_id: str, lane: str) -> str:
    """Give the id of the event of one record that a hint led to: the same one each time the hint is followed."""
    return hashlib.sha256(f"{hint_id}:{lane}".encode()).hexdigest()[:32]


def traceparent_from_id(event_id: str) -> str:
    """The trace of what came without one (W3C Trace Context): made of the 32 hex digits of its id."""
    return f"00-{event_id}-{event_id[16:]}-00"


def trace_id(traceparent: str | None) -> str | None:
    """Give the trace's id out of a valid `traceparent`, the 32 hex digits that every line about an event names."""
    return traceparent.split("-", 2)[1] if traceparent else None
