"""`envelope: {kind: custom, …}`: JSON pointers say where id, type, moment and record stand, so any sender can be read.

The pointers are folded into one walk, so each object on their way is opened once and everything beside it is skipped.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from service.envelopes.envelope import Desk, Envelope, Reader, Told, alone, not_an_event
from service.envelopes.pointers import Place, parse_pointer
from service.envelopes.strict_json import check_body, read_children, read_scalar
from service.events import Change, Delivery, Fact, RecordRef

Meaning = Literal["created", "updated", "deleted", "touched", "ignored", "refused"]
"""What a sender's type means to us: a change, or that it is answered 202 without an event, or 422."""

TEXT_BYTES_MAX = 2_048
"""Longer JSON text is no id, type or moment, and is not decoded to find out."""
MOMENT_CHARACTERS_MAX = 64


class RecordPlace(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the record stands. `kind` is fixed, or a pointer; `kinds` then gives the sender's names ours."""

    kind: Annotated[
        str,
        Meta(pattern=r"^([a-z][a-z0-9_]{0,63}|(/([^~/]|~[01])*)+)\Z", description="a kind, or a JSON pointer to it"),
    ]
    id: Place
    kinds: dict[str, str] = {}


class CustomEnvelope(Envelope, frozen=True, kw_only=True, tag="custom"):
    """`type` is a pointer, or a fixed text where the sender has no types.

    `types` gives the sender's types their meaning, `unmapped` those it does not name. Without an `id` the signed bytes
    are the event's identity.
    """

    id: Place | None = None
    type: Annotated[
        str,
        Meta(
            pattern=r"^([^/].*|(/([^~/]|~[01])*)+)\Z",
            max_length=500,
            description="a JSON pointer as /type, or fixed text",
        ),
    ]
    occurred_at: Place | None = None
    record: RecordPlace
    types: dict[str, Meaning] = {}  # noqa: RUF012 - msgspec copies it for each instance
    unmapped: Meaning = "touched"

    def reader(self, desk: Desk) -> Reader:
        """See Envelope."""
        return _CustomReader(self, desk).read


class _Walk:
    """Pointers folded into a tree: what is wanted here, and which steps lead on."""

    __slots__ = ("steps", "wanted")

    def __init__(self) -> None:
        self.wanted: list[str] = []
        self.steps: dict[str, _Walk] = {}

    def add(self, pointer: str, name: str) -> None:
        walk = self
        for step in parse_pointer(pointer):
            walk = walk.steps.setdefault(step, _Walk())
        walk.wanted.append(name)

    def collect(self, text: bytes, found: dict[str, bytes]) -> None:
        for name in self.wanted:
            found[name] = text
        if self.steps:
            children = read_children(text)
            for step, walk in self.steps.items():
                if step in children:
                    walk.collect(bytes(children[step]), found)


class _CustomReader:
    """One source's pointers, ready to read."""

    def __init__(self, envelope: CustomEnvelope, desk: Desk) -> None:
        self.envelope = envelope
        self.account = desk.connector.account
        self.depth_max = desk.depth_max
        self.walk = _Walk()
        places = {
            "id": envelope.id,
            "type": envelope.type,
            "moment": envelope.occurred_at,
            "kind": envelope.record.kind,
            "record": envelope.record.id,
        }
        self.pointers = {name: place for name, place in places.items() if place and place.startswith("/")}
        for name, pointer in self.pointers.items():
            self.walk.add(pointer, name)

    def read(self, delivery: Delivery) -> Told:
        check_body(delivery.body, self.depth_max)
        found: dict[str, bytes] = {}
        self.walk.collect(delivery.body, found)
        event_type = self._text("type", found) if "type" in self.pointers else self.envelope.type
        meaning = self.envelope.types.get(event_type, self.envelope.unmapped)
        if meaning == "refused":
            raise not_an_event("This source takes no events of this type.")
        moment = _moment(found.get("moment"))
        if meaning == "ignored":
            return alone(Fact(event_type, self._id_if_any(found), occurred_at=moment), delivery.body)
        event_id = self._text("id", found) if "id" in self.pointers else None
        return alone(self._fact(event_type, event_id, meaning, moment, found), delivery.body)

    def _fact(
        self, event_type: str, event_id: str | None, change: Change, moment: str | None, found: dict[str, bytes]
    ) -> Fact:
        place = self.envelope.record
        kind = place.kind
        if "kind" in self.pointers:
            named = self._text("kind", found)
            kind = place.kinds.get(named, "" if place.kinds else named)
        record = RecordRef(self.account, kind, self._text("record", found)) if kind else None
        return Fact(event_type, event_id, change, record, moment)

    def _text(self, name: str, found: dict[str, bytes]) -> str:
        """Give the text or whole number at a pointer, as text. Raises Refusal 422 if there is none."""
        raw = found.get(name, b"")
        value = read_scalar(raw) if 0 < len(raw) <= TEXT_BYTES_MAX else None
        if value is None:
            raise not_an_event(f"Send text or a whole number at {self.pointers[name]}.")
        return str(value)

    def _id_if_any(self, found: dict[str, bytes]) -> str | None:
        return self._text("id", found) if "id" in found else None


def _moment(raw: bytes | None) -> str | None:
    """Give the sender's moment as it stands if it is short; never trusted, and so never a reason to refuse."""
    value = read_scalar(raw) if raw and len(raw) <= TEXT_BYTES_MAX else None
    return str(value) if value is not None and len(str(value)) <= MOMENT_CHARACTERS_MAX else None
