"""Pointer map of the built-in platforms: every place is read, and every place can be corrected."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import yaml
from msgspec import UNSET, Struct

from service.bodies.pointers import parse_pointer, resolve_pointer
from service.config.platforms import BuiltInPlatformConfig
from service.errors import ConfigError
from service.events import RecordRef
from service.http_client import HttpClient
from service.platforms import CallContext
from service.platforms.api.pointer_map import PointerMap, missing_fields
from service.platforms.api.responses import PlatformResponse
from service.platforms.kind import RecordedAnswer
from service.platforms.recorded_answers import read_recorded_answer
from service.platforms.registry import CONFIG_TYPE, PLATFORMS, build_platforms
from service.records import RECORDS, Record
from service.sandbox.faults import Fault
from service.sandbox.server import SandboxHandle
from service.settings import Settings
from tests.platform_accounts import SAMPLES, sample_account

BUILT_IN = [kind for kind in PLATFORMS.values() if issubclass(kind.config, BuiltInPlatformConfig)]
PLACES = [
    pytest.param(kind.name, record_kind, field, id=f"{kind.name}-{record_kind}-{field}")
    for kind in BUILT_IN
    for record_kind, fields in cast("Any", kind.config).places.items()
    for field in fields
]


def config_of(kind: str, maps: Mapping[str, Mapping[str, Any]]) -> BuiltInPlatformConfig:
    return msgspec.convert(sample_account(kind, "https://api.example.com") | {"map": maps}, CONFIG_TYPE)


def read(config: BuiltInPlatformConfig, record_kind: str, answer: Any) -> tuple[Any, Record]:
    name = str(config.__struct_config__.tag)
    recorded = RecordedAnswer(name, record_kind, answer, "NOK")
    pointers = PointerMap(config, "platforms.pack")
    mapped = pointers.reader(record_kind, lambda reply: PLATFORMS[name].readers[record_kind](reply, recorded))
    state, record, _ = mapped(PlatformResponse(200, answer, 0.0))
    return state, record


def sample(kind: str, record_kind: str) -> Any:
    """Load the full sample, with the fields of `places.yaml` that no page shows."""
    answer = json.loads((SAMPLES / kind / f"{record_kind}.json").read_text())
    places = SAMPLES / kind / "places.yaml"
    return merged(answer, yaml.safe_load(places.read_text()).get(record_kind, {}) if places.exists() else {})


def merged(node: Any, added: Mapping[str, Any]) -> Any:
    """Return an object with members of another one, those of inner objects included."""
    inner = {
        name: merged(node[name], value) if isinstance(node.get(name), dict) else value for name, value in added.items()
    }
    return {**node, **inner}


def taken(node: dict[str, Any], pointer: str) -> Any:
    """Remove the value at a pointer of a sample and return it."""
    *above, last = parse_pointer(pointer)
    holder = resolve_pointer(node, tuple(above))
    assert isinstance(holder, dict), pointer
    return cast("dict[str, Any]", holder).pop(last)


def elsewhere(config: BuiltInPlatformConfig, record_kind: str, field: str) -> Any:
    """Return the sample with the value of a field under another key."""
    places, kind = config.places[record_kind], str(config.__struct_config__.tag)
    answer = sample(kind, record_kind)
    state = answer.get("data", answer)
    lines = resolve_pointer(state, parse_pointer(places["lines"])) if field.startswith("lines.") else [state]
    assert isinstance(lines, list)
    for node in cast("list[dict[str, Any]]", lines):
        node["elsewhere"] = taken(node, places[field])
    return answer


@pytest.mark.parametrize(("kind", "record_kind", "field"), PLACES)
def test_a_place_is_read_and_can_be_corrected(kind: str, record_kind: str, field: str) -> None:
    plain = config_of(kind, {})
    answer = elsewhere(plain, record_kind, field)
    _, whole = read(plain, record_kind, sample(kind, record_kind))
    _, without = read(plain, record_kind, answer)
    assert without != whole, "the connector does not read this place"
    state, corrected = read(config_of(kind, {record_kind: {field: "/elsewhere"}}), record_kind, answer)
    assert corrected == whole
    assert state == answer.get("data", answer), "raw keeps the platform's own structure"


@pytest.mark.parametrize("kind", BUILT_IN, ids=lambda kind: kind.name)
def test_the_samples_have_every_field(kind: Any) -> None:
    for record_kind, places in kind.config.places.items():
        _, record = read(config_of(kind.name, {}), record_kind, sample(kind.name, record_kind))
        assert missing_fields(places, record) == []


def filled_fields(value: Struct, above: str = "") -> Iterator[str]:
    """Yield the fields that have values, also those of nested objects and of the first line."""
    for name in value.__struct_fields__:
        inner: Any = getattr(value, name)
        if inner is not UNSET:
            yield f"{above}{name}"
        for part in inner[:1] if name == "lines" and inner else [inner]:
            if isinstance(part, Struct):
                yield from filled_fields(part, f"{above}{name}.")


@pytest.mark.parametrize("kind", BUILT_IN, ids=lambda kind: kind.name)
def test_every_field_has_a_place_or_a_documented_origin(kind: Any) -> None:
    page = (Path(__file__).parents[4] / "docs/reference/platforms.md").read_text()
    for record_kind, places in kind.config.places.items():
        config = config_of(kind.name, {})
        _, record = read(config, record_kind, sample(kind.name, record_kind))
        unplaced = {field for field in filled_fields(cast("Any", record)) if field not in places} - {"id"}
        mapped = config_of(kind.name, {record_kind: dict.fromkeys(unplaced, "/elsewhere")})
        mistakes = list(mapped.check("platforms.it", RECORDS))
        assert {mistake.path.partition(f"map.{record_kind}.")[2] for mistake in mistakes} == unplaced
        assert all("has no single place on this platform: it is " in mistake.reason for mistake in mistakes)
        for field, origin in config.combined.get(record_kind, {}).items():
            assert f"`{field}`" in page
            assert origin.removeprefix("it is ") in " ".join(page.split())


def test_missing_fields_are_listed_without_their_parts() -> None:
    config = config_of("pack_cloud", {})
    order: dict[str, Any] = {"id": "1", "reference": None, "purchase_order_lines": [], "supplier": {"id": "s"}}
    _, record = read(config, "purchase_order", order)
    assert missing_fields(config.places["purchase_order"], record) == [
        "status", "created_at", "updated_at", "supplier.name", "supplier.reference", "lines",
    ]  # fmt: skip
    _, record = read(config, "purchase_order", {**order, "lines": [{"id": "1", "price_per_item": 3}]})
    missing = missing_fields(config.places["purchase_order"], record)
    assert "lines.price" in missing
    assert not {"lines", "lines.id", "lines.price.value"} & set(missing)


def test_the_parts_of_an_amount_may_be_at_two_places() -> None:
    maps = {"purchase_order": {"lines": "/rows", "lines.price.value": "/amount", "lines.price.currency": "/code"}}
    rows = [{"amount": "9.95", "code": "EUR", "quantity_ordered": 2}, "no line"]
    state, record = read(config_of("pack_cloud", maps), "purchase_order", {"data": {"id": "1", "rows": rows}})
    assert state["rows"] == rows
    (line,) = cast("Any", record).lines
    assert (str(line.price.value), line.price.currency) == ("9.95", "EUR")
    _, record = read(config_of("pack_cloud", maps), "purchase_order", {"id": "1", "lines": rows, "rows": None})
    assert cast("Any", record).lines is None, "the map alone decides"
    _, record = read(config_of("pack_cloud", maps), "purchase_order", {"id": "1", "lines": rows})
    assert cast("Any", record).lines is UNSET


@pytest.mark.parametrize(
    ("maps", "at", "fix"),
    [
        ({"order": {"status": "/state"}}, "map.order", "valid: customer, purchase_order"),
        ({"purchase_order": {"line": "/rows"}}, "map.purchase_order.line", "did you mean lines?"),
        ({"purchase_order": {"id": "/uid"}}, "map.purchase_order.id", "valid: "),
        ({"customer": {"total": "/total"}}, "map.customer.total", "valid: "),
        ({"purchase_order": {"status": {"pointer": "/s"}}}, "map.purchase_order.status", "write the pointer alone"),
    ],
)
def test_a_field_without_a_place_is_reported(maps: dict[str, dict[str, Any]], at: str, fix: str) -> None:
    (mistake,) = config_of("pack_cloud", maps).check("platforms.pack", RECORDS)
    assert mistake.path == f"platforms.pack.{at}"
    assert mistake.fix.startswith(fix)


async def test_fetches_and_lists_apply_the_map(box: SandboxHandle) -> None:
    order: dict[str, Any] = {
        "state": "completed",
        "purchase_order_lines": [{"id": "l-1"}],
        "changed_at": "2026-11-01T00:00:00Z",
    }
    box.sandbox.catalog.put("pack_cloud", "purchase_order", "1", order)
    maps = {"purchase_order": {"status": "/state", "lines": "/purchase_order_lines", "updated_at": "/changed_at"}}
    account = sample_account("pack_cloud", box.base_url("pack_cloud")) | {"map": maps}
    async with HttpClient(Settings()) as outbound:
        platform = build_platforms({"pack": msgspec.convert(account, CONFIG_TYPE)}, {"TOKEN": box.token}, outbound)[
            "pack"
        ]
        fetched = await platform.fetch(RecordRef("pack", "purchase_order", "1"), CallContext("e" * 32))
        box.sandbox.faults.add(Fault(status=200, body=json.dumps([{"id": "1", **order}])))
        (listed,) = (await platform.list_records("purchase_order", None, CallContext("e" * 32))).items
    record = cast("Any", fetched.record)
    assert (record.status, [line.id for line in record.lines]) == ("completed", ["l-1"])
    assert fetched.raw["state"] == "completed"
    assert fetched.version == listed.version == "2026-11-01T00:00:00.000000Z"
    assert not listed.watched, "a completed order"


def test_a_recorded_answer_is_read_with_the_map_of_its_account() -> None:
    config = config_of("pack_cloud", {"purchase_order": {"lines": "/rows"}})
    recorded = RecordedAnswer("pack", "purchase_order", {"id": "1", "rows": [{"id": "l-1"}]})
    record, raw = read_recorded_answer(recorded, {"pack": config}, RECORDS, "tests[0]")
    assert [line.id for line in cast("Any", record).lines] == ["l-1"]
    assert raw == recorded.answer


def test_own_values_and_the_customer_of_an_order_are_read_where_the_map_says_so() -> None:
    order: dict[str, Any] = {
        "id": "1", "total": 5151, "buyer": {"no": 26}, "code": "EUR",
        "lines": [{"price": {"value": "17.17", "currency": "EUR"}, "quantity_ordered": 3, "quantity_received": 0}],
    }  # fmt: skip
    _, derived = read(config_of("pack_cloud", {"purchase_order": {"reference": "/no"}}), "purchase_order", order)
    assert str(cast("Any", derived).total.value) == "51.51"
    maps = {"total": {"pointer": "/total", "scale": 1000, "currency": "/code"}, "customer.id": "/buyer/no"}
    state, record = read(config_of("pack_cloud", {"purchase_order": maps}), "purchase_order", order)
    found = cast("Any", record)
    assert (str(found.total.value), found.total.currency, found.customer.id) == ("5.151", "EUR", "26")
    assert (found.quantity_ordered, found.lines[0].quantity_ordered) == (3, 3)
    assert state == order


def test_a_mistake_in_the_pointer_of_an_own_value_is_reported() -> None:
    config = config_of("pack_cloud", {"purchase_order": {"total.amount": "/x"}})
    with pytest.raises(ConfigError, match=r"platforms\.pack\.map\.purchase_order\.total\.amount: there is no such"):
        PointerMap(config, "platforms.pack")
