"""Deliveries, facts and events: plain types without I/O.

A *delivery* is one HTTP request of a source. Parsing it returns *facts*, such as "this record changed". Ingestion
stores each fact as an *event* with its own id, and workers process the events.
"""

import hashlib
import os
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

from msgspec import Struct

from service.errors import ConfigError

ChangeType = Literal["created", "updated", "deleted", "changed"]
"""Change of a record. `changed`: the sender does not specify the change."""

EVENT_KIND = "event"
"""Record kind of events of a source without a platform: the event is all there is, and nothing is fetched."""

EVENT_VERSION = 1
EVENT_ID_CHARACTERS = 32
SHORT_ID_CHARACTERS = 16

CORRELATION_HEADER = "x-correlation-id"
CORRELATION_ID_CHARACTERS_MAX = 128

STORED_HEADERS = frozenset({
    "content-type", "user-agent", "webhook-id", "webhook-timestamp", "ce-id", "ce-source", "ce-type", "ce-subject",
    "ce-specversion", "ce-time", "ce-dataschema",
})  # fmt: skip
"""Headers of a delivery that every event stores: ids and descriptions, never credentials or signatures."""
CREDENTIAL_HEADER = re.compile(r"auth|cookie|signature|hmac|token|secret|password|key")
"""Part of the names of headers that no event stores."""

JsonValue = Any
"""JSON value: text, number, boolean, None, list or dict."""


class RecordRef(Struct, frozen=True, array_like=True):
    """Reference to a record: platform account, kind, and the platform's id as text.

    `kind` is a record kind, or a hint such as `appointment`, which the connector resolves to records first. Of an event
    without a platform, `platform` is its source, and `id` is that of the envelope's record, else its own.
    """

    platform: str
    kind: str
    id: str

    @property
    def lane(self) -> str:
        """Name of the record's lane, such as `pack:purchase_order:5a7d2f90`."""
        return f"{self.platform}:{self.kind}:{self.id}"

    @classmethod
    def parse(cls, text: str, path: str) -> Self:
        """Parse ACCOUNT:KIND:ID, the name of a record in commands, the admin API and the console.

        Raises:
            ConfigError: the text is not of this form; `path` is the place of the error.
        """
        parts = text.split(":", 2)
        if len(parts) != 3 or not all(parts):
            fix = "write ACCOUNT:KIND:ID, such as pack:purchase_order:1"
            raise ConfigError(path, f"{text[:100]!r} is not a record", fix)
        return cls(*parts)


class Delivery(Struct, frozen=True):
    """HTTP request of a source. Header names are in lower case.

    `received_at` is in seconds since the epoch; `address` is the client's IP address; `query` is as it was sent.
    `is_item` is true if `body` is one verified item of a batch.
    """

    source: str
    headers: Mapping[str, str]
    body: bytes
    received_at: float
    address: str = ""
    path_token: str | None = None
    query: str = ""
    is_item: bool = False
    method: str = "POST"


class Fact(Struct, frozen=True):
    """Content of a delivery: one change of a record.

    - `id`: the sender's event id from the body or a signed header
    - `record`: None for pings, tests and ignored event types. Its id is empty for an event that is about no record
    - `occurred_at`: the sender's text, used for display and stale reads only
    - `correlation_id`: the id from the body by which the sender connects its requests
    - `reason`: why `record` is None, if this may be a mistake. `unknown_kind`: the account has no such record kind.
      `no_record`: the event has no record, and `record.optional` allows it
    """

    type: str
    id: str | None = None
    change: ChangeType = "changed"
    record: RecordRef | None = None
    occurred_at: str | None = None
    reason: str | None = None
    correlation_id: str | None = None


class Event(Struct, frozen=True, array_like=True):
    """Ingested fact, as stored. New fields are added at the end only."""

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
    """Number of `emit` actions between the delivery and this event."""
    identified: bool = True
    """Whether the sender sent an event id. Without one, a repeated change of an unchanged record is not decided."""
    trail: str = ""
    """Digests of the `emit` actions between the delivery and this event, separated by commas."""
    sender_id: str | None = None
    """The sender's own event id, from the body or a signed header. Derived events have none."""

    @property
    def correlation_id(self) -> str | None:
        """Return the sender's correlation id, from the body or the header of the delivery."""
        return self.headers.get(CORRELATION_HEADER)


_VARIANTS = {f"{digit:x}": f"{digit & 0b0011 | 0b1000:x}" for digit in range(16)}
"""Hex digit with the variant bits of a UUID (RFC 9562, 4.1), by random hex digit."""


def new_event_id(now: float | None = None) -> str:
    """Return a new event id: 32 hex digits that sort by time (UUID version 7)."""
    milliseconds = int((time.time() if now is None else now) * 1000)
    # Cryptographic randomness: senders see ids, and must not be able to guess the next one.
    digits = os.urandom(10).hex()
    return f"{milliseconds:012x}7{digits[1:4]}{_VARIANTS[digits[4]]}{digits[5:]}"


def short_id_characters(ids: Iterable[str]) -> int:
    """Return the number of first characters by which lists show these ids: at least 16, more to distinguish them.

    12 digits are the time in milliseconds, and 4 distinguish most events of one millisecond.
    """
    distinct = set(ids)
    longest = max(map(len, distinct), default=0)
    lengths = range(SHORT_ID_CHARACTERS, longest)
    return next((length for length in lengths if len({each[:length] for each in distinct}) == len(distinct)), longest)


def received_at_ms(event_id: str) -> int | None:
    """Return the time of receipt (ms) in an id of `new_event_id`; None for another id, such as a derived one."""
    is_timed = len(event_id) == EVENT_ID_CHARACTERS and event_id[12] == "7" and event_id[16] in "89ab"
    try:
        return int(event_id[:12], 16) if is_timed else None
    except ValueError:
        return None


def derived_event_id(hint_id: str, lane: str) -> str:
    """Return the id of an event derived from a hint. The same hint and lane return the same id."""
    return hashlib.sha256(f"{hint_id}:{lane}".encode()).hexdigest()[:32]


def traceparent_from_id(event_id: str) -> str:
    """Return the traceparent (W3C Trace Context) of an event that was received without one, derived from its id."""
    return f"00-{event_id}-{event_id[16:]}-00"


def trace_id(traceparent: str | None) -> str | None:
    """Return the trace id of a valid `traceparent`: 32 hex digits."""
    return traceparent.split("-", 2)[1] if traceparent else None
