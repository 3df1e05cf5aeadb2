"""Pages of a list that waybill.yaml describes. Pure.

Only the query of a next page's URL is used, so that it cannot lead to another host or path.
"""

import re
from typing import Any, cast
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from service.bodies.pointers import parse_pointer, resolve_pointer
from service.events import JsonValue
from service.platforms.api.coercion import record_version
from service.platforms.api.decoding import listed_digest, not_a_list
from service.platforms.api.field_map import FieldMap
from service.platforms.api.record_config import CustomListConfig
from service.platforms.api.responses import PlatformResponse
from service.platforms.base import ListedRecord, RecordPage
from service.records import Record

_PARAMETER = re.compile(
    r"""\s*;\s*(?P<name>[\w!#$&+.^`|~*-]+)(?:\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<token>[^\s",;]+)))?""",
    re.ASCII,
)
_LINK = re.compile(rf"<([^<>]*)>((?:{re.sub(r'[?]P<[a-z]+>', '?:', _PARAMETER.pattern)})*)", re.ASCII)
"""Link of the header `Link`, with all its parameters (RFC 8288, section 3)."""


def page_path(place: CustomListConfig, cursor: str | None) -> str:
    """Return the path of a page, None for the first; the first page has no cursor parameter."""
    path, _, query = place.path.partition("?")
    if cursor is not None and cursor.startswith("?"):
        return path + cursor
    if "{cursor}" not in place.path:
        return place.path.replace("{page}", quote(cursor or "1", safe=""))
    kept = [part for part in query.split("&") if part and (cursor is not None or "{cursor}" not in part)]
    text = path + ("?" + "&".join(kept) if kept else "")
    return text.replace("{cursor}", quote(cursor or "", safe=""))


def read_listing(
    place: CustomListConfig, reply: PlatformResponse, cursor: str | None, fields: FieldMap[Record]
) -> RecordPage:
    """Read a page; items without an id are left out.

    Returns:
        The page.

    Raises:
        PermanentError: `platform_wrong_envelope`.
        not_a_list: The error of a response that is not a list.
    """
    found = resolve_pointer(reply.data, parse_pointer(place.at))
    if not isinstance(found, list):
        raise not_a_list(reply.status)
    items = tuple(
        listed for node in cast("list[Any]", found) if isinstance(node, dict) and (listed := _listed(fields, node))
    )
    # An empty page ends a list that counts its pages, and one that always names a next.
    onward = _next(place, reply, cursor) if found else None
    # A list that leads to itself would never end.
    if onward == cursor:
        onward = None
    return RecordPage(items, onward, None if place.newest_first else onward)


def _listed(fields: FieldMap[Record], node: JsonValue) -> ListedRecord | None:
    record: Record = fields.read(node)
    if not isinstance(record.id, str) or not record.id:  # pyright: ignore[reportUnnecessaryIsInstance] - UNSET where absent
        return None
    deleted = bool(record.deleted_at)
    return ListedRecord(record.id, record_version(record.updated_at), listed_digest(node), deleted)


def _next(place: CustomListConfig, reply: PlatformResponse, cursor: str | None) -> str | None:
    if place.next == "none":
        return None
    if place.next == "page":
        return str(int(cursor or 1) + 1)
    if place.next == "link":
        link = next(filter(_is_next, _LINK.finditer(reply.headers.get("link", ""))), None)
        return _query(link[1]) if link else None
    onward = resolve_pointer(reply.data, parse_pointer(place.next))
    if isinstance(onward, int) and not isinstance(onward, bool):
        return str(onward)
    if not isinstance(onward, str) or not onward:
        return None
    return onward if "{cursor}" in place.path or "{page}" in place.path else _query(onward)


def _is_next(link: re.Match[str]) -> bool:
    relations = (each for each in _PARAMETER.finditer(link[2]) if each["name"].lower() == "rel")
    first = next(relations, None)
    return first is not None and "next" in (first["quoted"] or first["token"] or "").lower().split()


def _query(url: str) -> str | None:
    query = urlsplit(url).query
    return "?" + urlencode(parse_qsl(query, keep_blank_values=True)) if query else None
