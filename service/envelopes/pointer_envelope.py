"""Base class of envelopes that use JSON pointers: event types, change types and records.

An envelope defines the pointers to id, type, time and record. A `FactBuilder` builds the fact from the values there.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Literal

from msgspec import Meta, Struct

from service.bodies.pointer_lookup import PointerTree
from service.bodies.pointers import Pointer, PointerOrHeader
from service.bodies.strict_json import read_scalar
from service.envelopes.envelope import Envelope, ParseContext, unrecognized_event
from service.events import EVENT_KIND, ChangeType, Fact, RecordRef

TypeMapping = Literal["created", "updated", "deleted", "changed", "ignored", "rejected"]
"""Treatment of an event type: a change type, `ignored` (answer 202 without an event), or `rejected` (answer 422)."""
KindOrPointer = Annotated[
    str,
    Meta(pattern=r"^([a-z][a-z0-9_]{0,63}|(/([^~/]|~[01])*)+)\Z", description="a record kind, or a JSON pointer to it"),
]

TEXT_BYTES_MAX = 2_048
"""Maximum size of the JSON text of an id, type or time. Longer text is not decoded."""
TIMESTAMP_CHARACTERS_MAX = 64

_CHANGES: dict[str, ChangeType] = {
    "created": "created",
    "create": "created",
    "updated": "updated",
    "update": "updated",
    "deleted": "deleted",
    "delete": "deleted",
    "removed": "deleted",
}


class RecordPointers(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pointers to the record. `kind` is a record kind or a pointer. `kinds` maps the sender's names to record kinds.

    Without a `kind` the record kind is a word of the event type, mapped by `kinds`.
    The empty pointer as `id` is for items that are texts. With `optional`, an event without a record is ignored.
    """

    kind: KindOrPointer | None = None
    id: Pointer
    optional: bool = False
    kinds: dict[str, str] = {}


class RecordOverride(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pointers to the record that replace the defaults of the envelope.

    Without a `kind` the record kind is a word of the event type, as in `com.example.customer.updated`. Without an `id`
    the position of the id follows the envelope's specification.
    """

    kind: KindOrPointer | None = None
    id: PointerOrHeader | None = None
    kinds: dict[str, str] = {}


class PointerEnvelope(Envelope, frozen=True, kw_only=True):
    """Mapping of event types. `types` lists event types, `unmapped` applies to all others.

    Without `unmapped` the change type is the last word of the event type, or `changed` if there is no such word.
    """

    types: dict[str, TypeMapping] = {}  # noqa: RUF012 - msgspec copies it for each instance
    unmapped: TypeMapping | None = None


class EventPointers(Struct, frozen=True, kw_only=True):
    """Pointers to the parts of an event; None if the sender has no such part. `kind` may also be a record kind."""

    id: str | None
    type: str | None
    occurred_at: str | None
    record: str | None
    kind: str | None
    kinds: Mapping[str, str]
    optional: bool = False


class FactBuilder:
    """Builds facts from the parts of the events of one source."""

    def __init__(self, envelope: PointerEnvelope, pointers: EventPointers, context: ParseContext) -> None:
        self.envelope = envelope
        self.account, self.known = context.connector.account, context.kinds
        kind, self.kinds = pointers.kind, pointers.kinds
        if EVENT_KIND in self.known:  # the source has no platform, so its events have no other kind
            kind = EVENT_KIND
        by_name = {
            "id": pointers.id,
            "type": pointers.type,
            "occurred_at": pointers.occurred_at,
            "record": pointers.record,
        }
        is_pointer = bool(kind) and str(kind).startswith("/")
        self.kind = None if is_pointer else kind
        by_name["kind"] = kind if is_pointer else None
        self.optional = pointers.optional
        self.pointers = {name: pointer for name, pointer in by_name.items() if pointer is not None}
        self.tree = PointerTree()
        for name, pointer in self.pointers.items():
            self.tree.add(pointer, name)

    def build(self, event_type: str, found: Mapping[str, bytes]) -> Fact:
        """Build the fact for an event of this type.

        Returns:
            The fact.

        Raises:
            Rejection: 422 `unrecognized_event`: a part is missing or not text, or the event type is rejected;
                400 `malformed_payload`.
            unrecognized_event: The former of the two.
        """
        mapped = self.envelope.types.get(event_type) or self.envelope.unmapped or _change_type(event_type)
        if mapped == "rejected":
            raise unrecognized_event("This source rejects events of this type.")
        occurred_at = _occurred_at(found.get("occurred_at"))
        kind = None if mapped == "ignored" else self._kind(event_type, found)
        if mapped == "ignored":
            return Fact(event_type, occurred_at=occurred_at)
        if kind is None:
            return Fact(event_type, occurred_at=occurred_at, reason="unknown_kind")
        is_alone = kind == EVENT_KIND and not self._has_record(found)
        if self.optional and not is_alone and not self._has_record(found):
            return Fact(event_type, occurred_at=occurred_at, reason="no_record")
        event_id = self.text("id", found) if "id" in self.pointers else None
        record = RecordRef(self.account, kind, "" if is_alone else self.text("record", found))
        return Fact(event_type, event_id, mapped, record, occurred_at)

    def text(self, name: str, found: Mapping[str, bytes]) -> str:
        """Return the text or whole number of a part, as text.

        Raises:
            Rejection: 422 `unrecognized_event`: the part is missing or of another type; 400 `malformed_payload`.
            unrecognized_event: The former of the two.
        """
        raw = found.get(name, b"")
        value = read_scalar(raw) if 0 < len(raw) <= TEXT_BYTES_MAX else None
        if value is None:
            raise unrecognized_event(f"Send text or a whole number {_place(self.pointers[name])}.")
        return str(value)

    def _has_record(self, found: Mapping[str, bytes]) -> bool:
        raw = found.get("record", b"")
        return len(raw) > TEXT_BYTES_MAX or (bool(raw) and read_scalar(raw) is not None)

    def _kind(self, event_type: str, found: Mapping[str, bytes]) -> str | None:
        """Return the record kind, or None for a kind that the account does not have."""
        if "kind" in self.pointers:
            named = self.text("kind", found)
            kind = self.kinds.get(named) if self.kinds else named
            return kind if kind in self.known else None
        if self.kind is not None:
            return self.kind
        named = [self.kinds.get(word, word) for word in _words(event_type)]
        return next((kind for kind in named if kind in self.known), None)


def _place(pointer: str) -> str:
    return f"at {pointer}" if pointer else "as the item"


# Bounded, since a sender may use any number of event types.
@lru_cache(maxsize=1_024)
def _words(event_type: str) -> tuple[str, ...]:
    return tuple(event_type.lower().replace("/", ".").replace(":", ".").replace("-", "_").split("."))


def _change_type(event_type: str) -> ChangeType:
    for word in reversed(_words(event_type)):
        if word in _CHANGES:
            return _CHANGES[word]
    return "changed"


def _occurred_at(raw: bytes | None) -> str | None:
    """Return the sender's timestamp unchanged, or None if it is too long. It is not trusted, so it is not validated."""
    value = read_scalar(raw) if raw and len(raw) <= TEXT_BYTES_MAX else None
    return str(value) if value is not None and len(str(value)) <= TIMESTAMP_CHARACTERS_MAX else None
