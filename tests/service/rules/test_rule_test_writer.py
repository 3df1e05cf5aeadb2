"""Rule tests from evaluated records contain no personal data."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from msgspec import structs

from service.actions import load_actions
from service.config.record_kinds import RecordKindConfig, build_record_types
from service.events import Event, RecordRef
from service.rules import Rulebook, Subject, write_document
from service.rules.lookups import LookedUpRecord, Lookups
from service.rules.rule_test_writer import write_rule_test
from tests.service.rules.rule_samples import NOW, rules_of

GUEST: Mapping[str, Any] = {
    "nick": {"type": "text", "personal": True},
    "born": {"type": "date", "personal": True},
    "rooms": {"list": "text", "personal": True},
    "room": "text",
    "stay": {"object": {"wish": {"type": "text", "personal": True}, "nights": "integer"}},
    "pets": {"list": {"kind": "text", "call": {"type": "text", "personal": True}}},
    "home": {"object": {"flat": "text", "floor": "integer"}, "personal": True},
}
KINDS = {"guest": {"fields": GUEST}, "booking": {"fields": {"status": "text", "guest_id": "text"}}}
TYPES, _ = build_record_types(msgspec.convert(KINDS, dict[str, RecordKindConfig]))
SECRET = "Sparrow"
RECORD: Mapping[str, Any] = {
    "id": "g1", "nick": SECRET, "born": "1990-05-04", "rooms": [SECRET], "room": "12",
    "stay": {"wish": SECRET, "nights": 2}, "pets": [{"kind": "cat", "call": SECRET}],
    "home": {"flat": SECRET, "floor": 1990},
}  # fmt: skip
SHOWN: Mapping[str, Any] = {
    "id": "g1", "nick": "[redacted]", "room": "12", "stay": {"wish": "[redacted]", "nights": 2},
    "pets": [{"kind": "cat", "call": "[redacted]"}], "home": {"flat": "[redacted]"},
}  # fmt: skip


def write(subject: Subject, rule: str) -> Mapping[str, Any]:
    rulebook = Rulebook.load(write_document(rules_of(rule)), load_actions(), TYPES)
    text = write_rule_test(rulebook, subject, rulebook.evaluate(subject, NOW), NOW)
    assert text is not None
    assert SECRET not in text
    assert "1990" not in text
    (test,) = msgspec.yaml.decode(text)
    return test


def about(kind: str, record: Mapping[str, Any], raw: object = None) -> Subject:
    event = Event(1, "e1", "s", "t", "updated", RecordRef("hotel", kind, record["id"]), None, {}, None, b"")
    return Subject(event, msgspec.convert(record, TYPES[kind]), raw)


def test_fields_declared_as_personal_are_redacted_at_every_level() -> None:
    test = write(about("guest", RECORD), "- {id: r, type: guest, when: {field: room, op: eq, value: '12'}}")
    assert test["record"] == SHOWN
    assert test["expect"]["matches"] == ["r"]


def test_a_response_is_left_out_if_the_kind_declares_personal_fields() -> None:
    """Its own names differ from those of the record."""
    rule = "- {id: r, type: %s, when: {field: raw.spitzname, op: exists}}"
    assert "raw" not in write(about("guest", RECORD, {"spitzname": SECRET}), rule % "guest")
    other = write(about("booking", {"id": "b1"}, {"spitzname": "x"}), rule % "booking")
    assert other["raw"] == {"spitzname": "x"}


@pytest.mark.parametrize("status", ["open", "closed"])
def test_looked_up_records_are_redacted_too(status: str) -> None:
    rule = """
- id: r
  type: booking
  with: {guest: {kind: guest, id: "{guest_id}"}}
  when: {all: [{field: status, op: eq, value: open}, {field: guest.room, op: eq, value: '12'}]}
"""
    booking = about("booking", {"id": "b1", "status": status, "guest_id": "g1"})
    found = LookedUpRecord(ref=RecordRef("hotel", "guest", "g1"), record=msgspec.convert(RECORD, TYPES["guest"]))
    lookups = Lookups({found.ref.lane: found}, is_complete=True)
    test = write(structs.replace(booking, lookups=lookups), rule)
    assert test["lookups"] == [{"kind": "guest", "platform": "hotel", "record": SHOWN}]
