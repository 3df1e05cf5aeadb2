"""Field map: conversions of values, wildcards in lists, and required fields."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from service.config.record_kinds import RecordKindConfig, build_record_types
from service.config.record_maps import FieldPointers
from service.errors import ConfigError
from service.platforms.api.field_map import FieldMap, missing_required
from service.records import Money, OrderCustomer, PurchaseOrder

FIELDS = {
    "name": "text", "count": "integer", "weight": "decimal", "price": "money", "at": "moment", "day": "date",
    "done": "boolean", "tags": {"list": "text"}, "sizes": {"list": "integer"}, "prices": {"list": "money"},
    "days": {"list": "date"}, "maker": {"object": {"name": "text", "since": "date"}},
    "rows": {"list": {"sku": "text", "price": "money"}},
}  # fmt: skip
KIND = build_record_types(msgspec.convert({"thing": {"fields": FIELDS}}, dict[str, RecordKindConfig]))[0]["thing"]


def field_map(pointers: Any) -> FieldMap[Any]:
    return FieldMap(KIND, msgspec.convert(pointers, FieldPointers), "map")


def read(field: str, pointer: Any, node: Any, **more: Any) -> Any:
    return getattr(field_map({field: pointer} | more).read({"id": "1"} | node), field)


@pytest.mark.parametrize(
    ("field", "options", "value", "expected"),
    [
        ("name", {}, 7, "7"),
        ("name", {"default": "none"}, None, "none"),
        ("count", {}, "12", 12),
        ("count", {}, Decimal("3.0"), 3),
        ("count", {}, Decimal("3.5"), UNSET),
        ("count", {}, True, UNSET),
        ("count", {"default": 0}, None, 0),
        ("weight", {}, "2.50", Decimal("2.50")),
        ("weight", {"scale": 1000}, 2500, Decimal("2.500")),
        ("weight", {"as": "decimal"}, "heavy", UNSET),
        ("price", {"currency": "EUR"}, "9.95", Money(Decimal("9.95"), "EUR")),
        ("price", {"currency": "EUR", "scale": 100}, 1050, Money(Decimal("10.50"), "EUR")),
        ("price", {"currency": "/code"}, "1", Money(Decimal(1), "SEK")),
        ("price", {"currency": "EUR", "default": "0"}, None, Money(Decimal(0), "EUR")),
        ("price", {"as": "money"}, {"value": "1", "currency": "nok"}, Money(Decimal(1), "NOK")),
        ("price", {}, "1", UNSET),
        ("at", {}, "2026-03-29T12:00:00", datetime(2026, 3, 29, 12, tzinfo=UTC)),
        ("at", {"timezone": "Europe/Oslo"}, "2026-03-29T12:00:00", datetime(2026, 3, 29, 10, tzinfo=UTC)),
        ("at", {"timezone": "Europe/Oslo"}, "2026-03-29T12:00:00Z", datetime(2026, 3, 29, 12, tzinfo=UTC)),
        ("at", {"as": "epoch_s"}, 1_774_785_600, datetime(2026, 3, 29, 12, tzinfo=UTC)),
        ("at", {"as": "epoch_ms"}, "1774785600000", datetime(2026, 3, 29, 12, tzinfo=UTC)),
        ("at", {"as": "epoch_s"}, 1_774_785_600_000, UNSET),
        ("at", {"as": "epoch_s"}, None, None),
        ("day", {}, "2026-03-29T23:00:00-08:00", date(2026, 3, 29)),
        ("day", {}, "29.03.2026", UNSET),
        ("day", {}, "2026-03-291", UNSET),
        ("at", {"timezone": "Europe/Oslo"}, "2026-03-29x12:00:00", UNSET),
        ("done", {}, False, False),
        ("done", {}, "yes", UNSET),
        ("done", {"default": False}, UNSET, False),
    ],
)  # fmt: skip
def test_a_value_is_converted(field: str, options: dict[str, Any], value: Any, expected: Any) -> None:
    node = {"code": "SEK"} if value is UNSET else {"code": "SEK", "value": value}
    assert read(field, {"pointer": "/value", **options}, node) == expected


@pytest.mark.parametrize(
    ("field", "pointer", "node", "expected"),
    [
        ("tags", "/labels/*/name", {"labels": [{"name": "a"}, {}, {"name": None}, {"name": 5}]}, ("a", "5")),
        ("tags", "/labels/*/name", {"labels": [{"name": "a"}, {"name": True}]}, UNSET),
        ("sizes", "/boxes/*/sizes", {"boxes": [{"sizes": [1, None, 2]}, {"sizes": 3}, 4]}, (1, 2, 3)),
        ("sizes", "/boxes/*/sizes", {"boxes": [{"sizes": [1, "x", 2]}, {"sizes": 3}]}, UNSET),
        ("days", "/days", {"days": ["2026-01-02", None]}, (date(2026, 1, 2),)),
        ("days", "/days", {"days": ["2026-01-02", "never"]}, UNSET),
        ("prices", "/all/*", {"all": ["1", {"value": "x"}]}, UNSET),
        ("prices", "/all/*", {"all": ["1", {"value": "2", "currency": "usd"}]},
         (Money(Decimal(1), "EUR"), Money(Decimal(2), "USD"))),
        ("tags", "/labels/*/name", {"labels": None}, None),
        ("tags", "/labels/*/name", {"labels": {"name": "a"}}, UNSET),
    ],
)  # fmt: skip
def test_a_list_is_collected(field: str, pointer: str, node: Any, expected: Any) -> None:
    assert read(field, pointer, node, currency={"default": "EUR"}) == expected


def test_elements_of_nested_lists_become_one_list() -> None:
    orders = [{"rows": [{"no": "a"}]}, {"rows": [{"no": "b", "price": 100}]}]
    pointers = {
        "rows": "/orders/*/rows",
        "rows.sku": "/no",
        "rows.price": {"pointer": "/price", "scale": 100, "currency": "EUR"},
    }  # fmt: skip
    rows = field_map(pointers).read({"id": "1", "orders": orders}).rows
    assert [(row.sku, row.price) for row in rows] == [("a", UNSET), ("b", Money(Decimal("1.00"), "EUR"))]


@pytest.mark.parametrize("item", [None, "junk", 5, ["a"]])
def test_a_list_with_an_item_that_is_no_object_is_unknown(item: object) -> None:
    # A rule on the other items alone would match without a reason.
    assert field_map({}).read({"id": "1", "rows": [{"sku": "a"}, item]}).rows is UNSET


@pytest.mark.parametrize(
    ("pointers", "mistake"),
    [
        ({"name": {"pointer": "/a", "scale": 100}}, "map.name.scale: is for integer, decimal and money"),
        ({"name": {"pointer": "/a", "as": "epoch_s"}}, "map.name.as: epoch_s is not the type of the field"),
        ({"price": {"pointer": "/a", "as": "decimal"}}, "map.price.as: decimal is not the type of the field"),
        ({"at": {"pointer": "/a", "timezone": "Mars/Base"}}, "map.at.timezone: there is no time zone 'Mars/Base'"),
        ({"at": {"pointer": "/a", "timezone": "../etc/passwd"}}, "map.at.timezone: there is no time zone"),
        ({"count": {"pointer": "/a", "currency": "EUR"}}, "map.count.currency: is for money"),
        ({"count": {"pointer": "/a", "default": "many"}}, "map.count.default: 'many' is not of the field's type"),
        ({"price": {"pointer": "/a", "default": "free"}}, "map.price.default: 'free' is not an amount"),
        ({"tags": {"pointer": "/a", "default": "x"}}, "map.tags.default: is for single values"),
        ({"name": "/rows/*/name"}, "map.name: /rows/*/name has a step *, but the field is not a list"),
        ({"nam": "/a"}, "map.nam: there is no such field. Fix: did you mean name?"),
    ],
)
def test_an_option_that_does_not_fit_is_reported(pointers: Any, mistake: str) -> None:
    with pytest.raises(ConfigError) as caught:
        field_map(pointers)
    assert str(caught.value).startswith(mistake)


def test_own_values_of_an_order_replace_the_derived_ones() -> None:
    node = {
        "id": "1", "currency": "EUR", "total": "51.51", "units": 4, "customer_id": 26,
        "lines": [{"price": "17.169999999999998", "quantity_ordered": 3, "quantity_received": 1}],
    }  # fmt: skip
    derived = FieldMap(PurchaseOrder, {"currency": "/currency"}, "map").read(node)
    assert (derived.total, derived.quantity_ordered) == (Money(Decimal("51.509999999999994"), "EUR"), 3)
    pointers = {"currency": "/currency", "total": "/total", "quantity_ordered": "/units", "customer.id": "/customer_id"}
    own = FieldMap(PurchaseOrder, pointers, "map").read(node)
    assert (own.total, own.quantity_ordered, own.quantity_received) == (Money(Decimal("51.51"), "EUR"), 4, 1)
    assert own.customer == OrderCustomer(id="26")


def test_required_fields_are_found_in_objects_and_lists() -> None:
    number: Any = {"type": "text", "required": True}
    fields = {"number": number, "maker": {"object": {"name": number}}, "rows": {"list": {"sku": number}}}
    types, _ = build_record_types(msgspec.convert({"thing": {"fields": fields}}, dict[str, RecordKindConfig]))
    found = FieldMap(types["thing"], {}, "map")
    whole: Any = {"id": "1", "number": "7", "maker": {"name": "n"}, "rows": [{"sku": "a"}]}
    assert missing_required(found.read(whole)) == []
    assert missing_required(found.read({"id": "1"})) == ["number"]
    partly = whole | {"maker": {}, "rows": [{"sku": None}, {"sku": "b"}, {}]}
    assert missing_required(found.read(partly)) == ["maker.name", "rows.sku"]
