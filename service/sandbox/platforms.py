"""Mocks of the platforms: selects the mock of a request, checks its key, and answers by its routes."""

from collections.abc import Mapping
from http import HTTPStatus
from importlib import import_module
from urllib.parse import parse_qs

import msgspec

from service.mock.catalog import Catalog
from service.mock.http import Reply, Request, plain_reply
from service.mock.platform import MockPlatform
from service.mock.routes import ListRoute, Route, path_matches
from service.platforms.custom import CUSTOM
from service.platforms.registry import KINDS

MOCKS: Mapping[str, MockPlatform] = {
    kind.name: import_module(f"service.platforms.{kind.name}.mock").MOCK for kind in KINDS if kind is not CUSTOM
}
"""The mock of each platform, found by its module: the registry does not import mocks, so that no pod loads them."""


def new_catalog() -> Catalog:
    """Build the records of all mocks."""
    return Catalog({platform: mock.id_keys for platform, mock in MOCKS.items()})


def base_path(platform: str) -> str:
    """Return the path of a platform's `base_url`."""
    return f"/{platform}{MOCKS[platform].base_path}"


def handle(request: Request, catalog: Catalog) -> Reply:
    """Answer a call to one of the platforms."""
    platform = request.segments[0]
    mock = MOCKS.get(platform)
    if mock is None:
        return plain_reply(HTTPStatus.NOT_FOUND)
    matching = [
        route for route in (*mock.extra, *mock.lists, *mock.routes) if path_matches(request.segments, route.steps)
    ]
    if not matching:
        return plain_reply(HTTPStatus.NOT_FOUND)
    route, key = matching[0], mock.read_key(request)
    public = not isinstance(route, ListRoute | Route) and route.public
    if not public and key != mock.key:
        return Reply(401, catalog.error(platform, 401, key))
    if isinstance(route, ListRoute):
        reply = _list(request, catalog, mock, route)
    elif isinstance(route, Route):
        reply = _record(request, catalog, mock, route)
    else:
        reply = route.handle(request, catalog)
    return reply or plain_reply(HTTPStatus.METHOD_NOT_ALLOWED)


def _list(request: Request, catalog: Catalog, mock: MockPlatform, route: ListRoute) -> Reply | None:
    if request.method == ("POST" if route.asks else "GET"):
        query = parse_qs(request.path.partition("?")[2], keep_blank_values=True)
        records = [msgspec.json.decode(record) for record in catalog.all(route.platform, route.kind)]
        return mock.list_records(request, query, records, catalog.id_key(route.platform, route.kind))
    return mock.create(request, catalog, route) if request.method == "POST" and route.creates else None


def _record(request: Request, catalog: Catalog, mock: MockPlatform, route: Route) -> Reply | None:
    record_id = route.record_id(request.segments)
    record = catalog.get(route.platform, route.kind, record_id)
    if request.method != "GET" and request.method not in route.writes:
        return None
    if record is None:
        return Reply(404, catalog.error(route.platform, 404))
    if request.method != "GET":
        return mock.change(request, catalog, route, record_id)
    return Reply(200, b'{"data":%b}' % record if route.wrapped else record)
