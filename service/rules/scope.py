"""Input of an evaluation: the subject (event, record, raw response, previous state) and the time.

The scope is the only argument of a compiled field reader, so that reading `status` costs one C call.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct, field

from service.bodies.lazy_json import LazyJson, read_json
from service.events import Event
from service.records import Record
from service.rules.lookups import NO_LOOKUPS, Lookups

Value = Any
"""The value of a field: text, number, timestamp, struct, list, plain JSON, None or UNSET."""


class Subject(Struct, frozen=True):
    """The event and the record to evaluate.

    `raw_json` is the platform's response. `previous` is the result of `Rulebook.previous_fields` for the last
    decision. `known` caches derived fields, so that `total` is computed once for all rules. `lookups` has the records
    that rules look up.
    """

    event: Event
    record: Record
    raw_json: LazyJson | Value = None
    previous: Mapping[str, Value] | None = None
    known: dict[str, Value] = field(default_factory=dict[str, Value])
    lookups: Lookups = NO_LOOKUPS

    @property
    def raw(self) -> Value:
        """The platform's response, decoded now if it was not."""
        return read_json(self.raw_json)


class Scope(Struct, frozen=True):
    """A subject and the time of the evaluation. `now` has a time zone."""

    event: Event
    record: Record
    raw_json: LazyJson | Value
    previous: Mapping[str, Value]
    known: dict[str, Value]
    now: datetime
    lookups: Lookups = NO_LOOKUPS

    @property
    def raw(self) -> Value:
        """The platform's response, as `Subject.raw`."""
        return read_json(self.raw_json)

    @classmethod
    def of(cls, subject: Subject, now: datetime) -> "Scope":
        """Build the scope of `subject` at `now`."""
        previous = subject.previous or {}
        return cls(subject.event, subject.record, subject.raw_json, previous, subject.known, now, subject.lookups)
