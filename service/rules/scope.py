"""What a rule looks at while it is judged: the subject (event, record, raw answer, previous state) and the time.

The scope is the one argument every compiled field reader takes, so that reading `status` costs one C call.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct, field

from service.events import Event
from service.records import Customer, PurchaseOrder

Value = Any
"""Whatever stands in a field: text, number, moment, struct, list, plain JSON, None or UNSET."""


class Subject(Struct, frozen=True):
    """What is judged. `raw` is the platform's decoded answer; `previous` what `Rulebook.remember` gave last time.

    `known` keeps derived fields that were computed once, so that a hundred rules about `total` add it up once.
    """

    event: Event
    record: PurchaseOrder | Customer
    raw: Value = None
    previous: Mapping[str, Value] | None = None
    known: dict[str, Value] = field(default_factory=dict[str, Value])


class Scope(Struct, frozen=True):
    """A subject at a moment; `now` is aware."""

    event: Event
    record: PurchaseOrder | Customer
    raw: Value
    previous: Mapping[str, Value]
    known: dict[str, Value]
    now: datetime

    @classmethod
    def of(cls, subject: Subject, now: datetime) -> "Scope":
        """Look at `subject` at `now`."""
        return cls(subject.event, subject.record, subject.raw, subject.previous or {}, subject.known, now)
