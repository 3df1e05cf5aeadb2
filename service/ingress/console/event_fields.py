"""Fields of the filter of events: from the query of a page to an EventFilter, with a message per wrong field."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, get_args
from urllib.parse import urlencode

from msgspec import Struct

from service.management.event_filter import EVENT_OUTCOMES, EventFilter, State, Verdict, parse_time_filter

TEXT_CHARACTERS_MAX = 500
STATES: tuple[str, ...] = get_args(State)
CHOICES: Mapping[str, tuple[str, ...]] = {
    "state": STATES,
    "outcome": EVENT_OUTCOMES,
    "verdict": get_args(Verdict),
}
TIMES = ("since", "until")
NAMES = EventFilter.__struct_fields__


class FilterFields(Struct, frozen=True):
    """Fields as they were typed, their errors, and the filter of the valid ones."""

    fields: Mapping[str, str]
    errors: Mapping[str, str]
    event_filter: EventFilter

    @property
    def active(self) -> Mapping[str, str]:
        """Fields that are set."""
        return {name: text for name, text in self.fields.items() if text}

    def query(self, **changes: str | None) -> str:
        """Return the query of a page with these fields and `changes`; None removes a field."""
        merged = {**self.active, **changes}
        return urlencode({name: text for name, text in merged.items() if text})


def read_filter(query: Mapping[str, str], **fixed: str) -> FilterFields:
    """Read the fields of a query. `fixed` fields have this value."""
    fields = {name: query.get(name, "").strip() for name in NAMES} | fixed
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, text in fields.items():
        if not text:
            continue
        try:
            values[name] = _read(name, text)
        except ValueError as error:
            errors[name] = str(error)
    return FilterFields(fields, errors, EventFilter(**values))


def _read(name: str, text: str) -> str | datetime:
    if name in TIMES:
        return parse_time_filter(text)
    if name in CHOICES and text not in CHOICES[name]:
        raise ValueError(f"Choose one of: {', '.join(CHOICES[name])}.")
    if len(text) > TEXT_CHARACTERS_MAX:
        raise ValueError(f"{len(text)} characters; at most {TEXT_CHARACTERS_MAX} are possible.")
    return text
