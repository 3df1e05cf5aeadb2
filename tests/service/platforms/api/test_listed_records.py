"""How any system's list is paged through: each way to a next page, and nothing that leads elsewhere."""

from typing import Any

import pytest

from service.errors import PermanentError
from service.platforms.api.field_map import FieldMap
from service.platforms.api.listed_records import page_path, read_listing
from service.platforms.api.record_config import CustomListConfig
from service.platforms.api.responses import PlatformResponse
from service.records import Customer

FIELDS = FieldMap(Customer, {"updated_at": "/changed", "deleted_at": "/gone"}, "map")


def place(path: str = "/c", at: str = "", onward: str = "none", *, newest_first: bool = False) -> CustomListConfig:
    return CustomListConfig(path=path, at=at, next=onward, newest_first=newest_first)


def reply(data: Any, link: str = "") -> PlatformResponse:
    return PlatformResponse(200, data, 1.0, headers={"link": link} if link else {})


@pytest.mark.parametrize(
    ("path", "cursor", "asked"),
    [
        ("/c", None, "/c"),
        ("/c?page={page}&size=9", None, "/c?page=1&size=9"),
        ("/c?page={page}&size=9", "3", "/c?page=3&size=9"),
        ("/c?size=9&after={cursor}", None, "/c?size=9"),
        ("/c?after={cursor}", None, "/c"),
        ("/c?size=9&after={cursor}", "a b&c=1", "/c?size=9&after=a%20b%26c%3D1"),
        ("/c?size=9", "?page_info=x&limit=2", "/c?page_info=x&limit=2"),
    ],
)
def test_a_page_is_requested_at_its_path(path: str, cursor: str | None, asked: str) -> None:
    assert page_path(place(path), cursor) == asked


@pytest.mark.parametrize(
    ("onward", "path", "data", "link", "expected"),
    [
        ("none", "/c", [{"id": 1}], "", None),
        ("page", "/c?page={page}", [{"id": 1}], "", "3"),
        ("page", "/c?page={page}", [], "", None),
        ("link", "/c", [{"id": 1}], '<https://x.example/c?p=2>; rel="next"', "?p=2"),
        ("link", "/c", [{"id": 1}], "</c?p=2>; rel=next", "?p=2"),
        ("link", "/c", [{"id": 1}], '</c?p=1>; rel="prev", </c?p=3>; title="a, b; rel=no"; rel="next"', "?p=3"),
        ("link", "/c", [{"id": 1}], '</c?p=2>;REL="last NEXT"; x', "?p=2"),
        ("link", "/c", [{"id": 1}], '</c?p=2>; rel=nextpage; title="rel=next"', None),
        (
            "link",
            "/c",
            [{"id": 1}],
            '<https://x/c?p=1>; rel="prev", <https://x/c?p=3&q=a%2Fb>; rel="next"',
            "?p=3&q=a%2Fb",
        ),
        ("link", "/c", [{"id": 1}], '<https://x.example/c?p=2>; rel="last"', None),
        ("link", "/c", [{"id": 1}], '<https://elsewhere.example/other>; rel="next"', None),
        ("link", "/c", [{"id": 1}], "", None),
        ("/meta/next", "/c", {"items": [{"id": 1}], "meta": {"next": "https://elsewhere.example/x?p=7"}}, "", "?p=7"),
        ("/meta/next", "/c?after={cursor}", {"items": [{"id": 1}], "meta": {"next": "abc"}}, "", "abc"),
        ("/meta/next", "/c?page={page}", {"items": [{"id": 1}], "meta": {"next": 4}}, "", "4"),
        ("/meta/next", "/c?page={page}", {"items": [{"id": 1}], "meta": {"next": None}}, "", None),
        ("/meta/next", "/c?page={page}", {"items": [{"id": 1}], "meta": {}}, "", None),
        ("/meta/next", "/c?page={page}", {"items": [{"id": 1}], "meta": {"next": True}}, "", None),
        ("/meta/next", "/c?page={page}", {"items": [{"id": 1}], "meta": {"next": 2}}, "", None),
    ],
)
def test_the_next_page_stays_on_the_same_path(
    onward: str, path: str, data: Any, link: str, expected: str | None
) -> None:
    at = "/items" if isinstance(data, dict) else ""
    listing = read_listing(place(path, at, onward), reply(data, link), "2", FIELDS)
    assert listing.next == listing.settled == expected
    newest_first = read_listing(place(path, at, onward, newest_first=True), reply(data, link), "2", FIELDS)
    assert newest_first.settled is None


def test_items_have_id_version_and_digest_and_others_are_left_out() -> None:
    rows = [
        {"id": 1, "changed": "2026-01-01T00:00:00Z"},
        {"id": "b", "gone": "2026-01-01T00:00:00Z"},
        {"name": "no id"},
        "no object",
        {"id": ""},
    ]
    listing = read_listing(place(), reply(rows), None, FIELDS)
    assert [(item.id, item.version, item.deleted) for item in listing.items] == [
        ("1", "2026-01-01T00:00:00.000000Z", False),
        ("b", None, True),
    ]
    assert len({item.digest for item in listing.items}) == 2


@pytest.mark.parametrize("data", [{}, {"items": {}}, {"items": None}, "text", 1, None])
def test_a_response_that_is_not_a_list_is_a_platform_error(data: Any) -> None:
    with pytest.raises(PermanentError) as raised:
        read_listing(place(at="/items"), reply(data), None, FIELDS)
    assert raised.value.kind == "platform_wrong_envelope"


def test_a_missing_list_is_a_config_error() -> None:
    with pytest.raises(PermanentError) as raised:
        read_listing(place(), PlatformResponse(404, None, 1.0, gone=True), None, FIELDS)
    assert raised.value.kind == "config_wrong_address"
