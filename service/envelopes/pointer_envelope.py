"""What the envelopes have in common that find an event's parts by JSON pointers: the record, and what a type means.

An envelope says where id, type, moment and record stand; from what was found there a `FactBuilder` makes the fact.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Literal

from msgspec import Meta, Struct

from service.envelopes.envelope import Envelope, ParseContext, not_an_event
from service.envelopes.pointer_lookup import PointerTree
from service.envelopes.pointers import PointerOrHeader
from service.envelopes.strict_json import read_scalar
from service.events import ChangeType, Fact, RecordRef

TypeMapping = Literal["created", "updated", "deleted", "changed", "ignored", "rejected"]
"""What a sender's type means to us: a change, or that it is answered 202 without an event, or 422."""
KindOrPointer = Annotated[
    str,
    Meta(pattern=r"^([a-z][a-z0-9_]{0,63}|(/([^~/]|~[01])*)+)\Z", description="a kind, or a JSON pointer to it"),
]

TEXT_BYTES_MAX = 2_048
"""Longer JSON text is no id, type or moment, and is not decoded to find out."""
TIMESTAMP_CHARACTERS_MAX = 64

_CHANGES: dict[str, ChangeType] = {"created": "created", "updated": "updated", "deleted": "deleted"}


class RecordPointers(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the record stands. `kind` is fixed, or a pointer; `kinds` then gives the sender's names ours."""

    kind: KindOrPointer
    id: PointerOrHeader
    kinds: dict[str, str] = {}


class RecordOverride(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the record stands if not where it would be looked for.

    Without a `kind` it is the part of the type that names one, as in `com.example.customer.updated`; without an `id`
    it is where the envelope's specification puts it.
    """

    kind: KindOrPointer | None = None
    id: PointerOrHeader | None = None
    kinds: dict[str, str] = {}


class PointerEnvelope(Envelope, frozen=True, kw_only=True):
    """`types` gives the sender's types their meaning, `unmapped` those it does not name.

    Without `unmapped` it is what the type's last word says, `changed` if it says nothing of the kind.
    """

    types: dict[str, TypeMapping] = {}  # noqa: RUF012 - msgspec copies it for each instance
    unmapped: TypeMapping | None = None


class EventPointers(Struct, frozen=True, kw_only=True):
    """Pointers to an event's parts; None where the sender has none. `kind` may be a kind itself."""

    id: str | None
    type: str | None
    moment: str | None
    record: str
    kind: str | None
    kinds: Mapping[str, str]


class FactBuilder:
    """One source's way from the parts of an event to a fact."""

    def __init__(self, envelope: PointerEnvelope, parts: EventPointers, context: ParseContext) -> None:
        self.envelope = envelope
        self.account, self.known = context.connector.account, context.kinds
        kind, self.kinds = parts.kind, parts.kinds
        places = {"id": parts.id, "type": parts.type, "moment": parts.moment, "record": parts.record}
        pointed = bool(kind) and str(kind).startswith("/")
        self.kind = None if pointed else kind
        places["kind"] = kind if pointed else None
        self.pointers = {name: place for name, place in places.items() if place}
        self.walk = PointerTree()
        for name, pointer in self.pointers.items():
            self.walk.add(pointer, name)

    def build(self, event_type: str, found: Mapping[str, bytes]) -> Fact:
        """Make the fact of an event of this type.

        Raises:
            Rejection: 422 `unrecognized_event`: a part is missing or no text, or the type is rejected;
                400 `malformed_payload`.
        """
        meaning = self.envelope.types.get(event_type) or self.envelope.unmapped or _change_named(event_type)
        if meaning == "rejected":
            raise not_an_event("This source takes no events of this type.")
        moment = _moment(found.get("moment"))
        kind = None if meaning == "ignored" else self._kind(event_type, found)
        if meaning == "ignored":
            return Fact(event_type, occurred_at=moment)
        if kind is None:
            return Fact(event_type, occurred_at=moment, reason="unknown_kind")
        event_id = self.text("id", found) if "id" in self.pointers else None
        record = RecordRef(self.account, kind, self.text("record", found))
        return Fact(event_type, event_id, meaning, record, moment)

    def text(self, name: str, found: Mapping[str, bytes]) -> str:
        """Give the text or whole number of a part, as text. Raises Refusal 422 if there is none."""
        raw = found.get(name, b"")
        value = read_scalar(raw) if 0 < len(raw) <= TEXT_BYTES_MAX else None
        if value is None:
            raise not_an_event(f"Send text or a whole number at {self.pointers[name]}.")
        return str(value)

    def _kind(self, event_type: str, found: Mapping[str, bytes]) -> str | None:
        """Give the kind of the record, None for one that the account does not know: nobody asked for it."""
        if "kind" in self.pointers:
            named = self.text("kind", found)
            kind = self.kinds.get(named) if self.kinds else named
            return kind if kind in self.known else None
        return self.kind or next((word for word in _words(event_type) if word in self.known), None)


# A sender has few types; bounded, since it may name any.
@lru_cache(maxsize=1_024)
def _words(event_type: str) -> tuple[str, ...]:
    return tuple(event_type.lower().replace("/", ".").replace(":", ".").replace("-", "_").split("."))


def _change_named(event_type: str) -> ChangeType:
    for word in reversed(_words(event_type)):
        if word in _CHANGES:
            return _CHANGES[word]
    return "changed"


def _moment(raw: bytes | None) -> str | None:
    """Give the sender's moment as it stands if it is short; never trusted, and so never a reason to refuse."""
    value = read_scalar(raw) if raw and len(raw) <= TEXT_BYTES_MAX else None
    return str(value) if value is not None and len(str(value)) <= TIMESTAMP_CHARACTERS_MAX else None
