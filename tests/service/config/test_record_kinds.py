"""Declared record kinds: every mistake in `records` of waybill.yaml, and the types that are built."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from msgspec import UNSET

from service.config.loading import load_record_types
from service.config.record_kinds import DEPTH_MAX, FIELDS_MAX, KINDS_MAX, RecordKindConfig, build_record_types
from service.configuration import read_config
from service.errors import ConfigError
from service.records import RECORDS
from service.rules.fields import describe_fields


def declare(fields: Any, kind: str = "shipment") -> tuple[Any, list[str]]:
    kinds = msgspec.convert({kind: {"fields": fields}}, dict[str, RecordKindConfig])
    types, mistakes = build_record_types(kinds)
    return types[kind], [f"{each.path}: {each.reason}" for each in mistakes]


def nested(depth: int) -> Any:
    return "text" if depth == 0 else {"object": {"inner": nested(depth - 1)}}


@pytest.mark.parametrize(
    ("fields", "mistake"),
    [
        ({}, "records.shipment.fields: is empty"),
        ({"Status": "text"}, ".Status: is not a valid name of a field"),
        ({"a.b": "text"}, ".a.b: is not a valid name of a field"),
        ({"id": "text"}, ".id: is a field of every record"),
        ({"updated_at": "moment"}, ".updated_at: is a field of every record"),
        ({"raw": "text"}, ".raw: is a reserved name"),
        ({"class": "text"}, ".class: is a reserved name"),
        ({"required_fields": "text"}, ".required_fields: is a reserved name"),
        ({"status": {"required": True}}, ".status: has no type"),
        ({"status": {"type": "text", "enum": ["a"]}}, ".status: has type and enum"),
        ({"status": {"enum": []}}, ".status: has no values, or one of them twice"),
        ({"status": {"enum": ["a", "a"]}}, ".status: has no values, or one of them twice"),
        ({"items": {"list": {}}}, ".items: has no fields"),
        ({"inner": nested(DEPTH_MAX)}, "are nested deeper than 4"),
        ({f"f{number}": "text" for number in range(FIELDS_MAX + 1)}, "301 fields, at most 300 are allowed"),
    ],
)
def test_a_mistake_in_a_field_has_its_path(fields: Any, mistake: str) -> None:
    _, mistakes = declare(fields)
    assert len(mistakes) == 1
    assert mistake in mistakes[0]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("Order", "is not a valid name of a kind"), ("customer", "is a built-in name"), ("event", "is a built-in name")],
)
def test_a_mistake_in_the_name_of_a_kind_is_reported(kind: str, reason: str) -> None:
    _, mistakes = declare({"status": "text"}, kind)
    assert mistakes == [f"records.{kind}: {reason}"]


def test_limits_are_inclusive() -> None:
    assert declare({f"f{number}": "text" for number in range(FIELDS_MAX)})[1] == []
    assert declare({"inner": nested(DEPTH_MAX - 1)})[1] == []
    kinds = {f"kind_{number}": RecordKindConfig(fields={"a": "text"}) for number in range(KINDS_MAX + 1)}
    (mistake,) = build_record_types(kinds)[1]
    assert mistake.reason == "101 kinds, at most 100 are allowed"


def test_a_type_has_its_fields_and_those_of_every_record() -> None:
    record, mistakes = declare(
        {
            "status": {"enum": ["sent", "lost"]}, "price": "money", "due": "date", "weight": "decimal",
            "done": "boolean", "tags": {"list": "text"}, "receiver": {"object": {"vat": "text"}, "personal": True},
            "parcels": {"list": {"number": {"type": "text", "personal": True}, "state": {"enum": ["a"]}}},
        }
    )  # fmt: skip
    assert not mistakes
    members = describe_fields(record)
    assert {path: member.kind for path, member in members.items()} == {
        "id": "text", "created_at": "timestamp", "updated_at": "timestamp", "deleted_at": "timestamp",
        "status": "text", "price": "money", "price.value": "amount", "price.currency": "text", "due": "date",
        "weight": "number", "done": "boolean", "tags": "list", "receiver": "struct", "receiver.vat": "text",
        "parcels": "list", "parcels[].number": "text", "parcels[].state": "text",
    }  # fmt: skip
    assert [path for path, member in members.items() if member.personal] == [
        "receiver", "receiver.vat", "parcels[].number",
    ]  # fmt: skip
    assert record.enum_values == {"status": ("sent", "lost"), "parcels[].state": ("a",)}
    assert record(id="1").status is UNSET


WRONG = {
    "records": {
        "order": {"fields": {"total": "mony"}},
        "parcel": {"fields": {"id": "text", "weight": {"typ": "decimal"}}},
        "box": {"fields": {"size": "integer"}},
    },
    "platforms": {
        "shop": {
            "kind": "custom",
            "base_url": "https://shop.example.com",
            "auth": {"type": "none"},
            "records": {
                "order": {"path": "/o/{id}", "map": {"total": "/t"}},
                "ordr": {"path": "/o/{id}"},
                "box": {
                    "path": "/b/{id}",
                    "map": {"siz": "/s", "size": {"pointer": "/s", "timezone": "Europe/Oslo", "currency": "EUR"}},
                },
            },
        }
    },
    "sources": {"shop": {"platform": "shop", "poll": {"every": "5m", "record": "box"}}},
}


def test_every_mistake_of_a_file_is_reported_once(tmp_path: Path) -> None:
    path = tmp_path / "waybill.yaml"
    path.write_text(yaml.safe_dump(WRONG))
    mistakes = read_config(path, {}).mistakes
    assert sorted(f"{each.path}: {each.reason}" for each in mistakes) == [
        "platforms.shop.records.box.map.siz: there is no such field",
        "platforms.shop.records.box.map.size.currency: is for money",
        "platforms.shop.records.box.map.size.timezone: is for moments",
        "platforms.shop.records.ordr: there is no kind ordr",
        "records.order.fields.total: Invalid enum value 'mony'",
        "records.parcel.fields.weight.typ: unknown key",
        "sources.shop.poll.record: shop cannot list box, so it cannot be polled",
    ]
    fixes = {each.path: each.fix for each in mistakes}
    assert fixes["platforms.shop.records.ordr"].startswith("declare it under records: or use another kind; did")
    assert fixes["records.order.fields.total"].startswith("did you mean money?")
    with pytest.raises(ConfigError, match=r"records\.order\.fields\.total"):
        load_record_types(path)


def test_types_are_read_without_secrets_and_without_a_file(tmp_path: Path) -> None:
    assert load_record_types(tmp_path / "waybill.yaml") == RECORDS
    (tmp_path / "waybill.yaml").write_text("records: {box: {fields: {size: integer}}}\nplatforms: 7\n")
    assert sorted(load_record_types(tmp_path / "waybill.yaml")) == ["box", "customer", "event", "purchase_order"]
