"""The front door of each platform: which paths it has, what it asks for to let a call in, and how it says no."""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import parse_qs

from service.sandbox.asgi import Reply, Request, json_reply, plain_reply
from service.sandbox.catalog import Catalog
from service.sandbox.lists import list_records
from service.sandbox.routes import ANY, ASYNC_ROUTES, EXTENSIONS, LISTS, ROUTES, ListRoute, Route, path_matches
from service.sandbox.writes import change, create, extend

TOKEN = "sandbox-token"  # noqa: S105 - opens nothing but the sandbox
TOKEN_SECONDS = 300

TOKEN_PATH = ("pexip_engage", "realms", ANY, "protocol", "openid-connect", "token")

BASE_PATHS: Mapping[str, str] = {
    "pack_cloud": "/pack_cloud/v1",
    "pexip_engage": "/pexip_engage",
    "open_food_network": "/open_food_network",
    "flow_retail": "/flow_retail/v2",
}
"""What follows the sandbox's URL in the `base_url` of each platform."""


def handle(request: Request, catalog: Catalog) -> Reply:
    """Answer a call to one of the platforms."""
    if path_matches(request.segments, TOKEN_PATH):
        return _token(request)
    platform = request.segments[0]
    if platform not in BASE_PATHS:
        return plain_reply(HTTPStatus.NOT_FOUND)
    key = _key(request, platform)
    known = any(path_matches(request.segments, route.steps) for route in (*LISTS, *ROUTES))
    known = known or any(path_matches(request.segments, steps) for steps in (*ASYNC_ROUTES, EXTENSIONS))
    if known and key != _issued(platform):
        return Reply(401, catalog.error(platform, 401, key))
    return _let_in(request, catalog) or plain_reply(HTTPStatus.METHOD_NOT_ALLOWED if known else HTTPStatus.NOT_FOUND)


def _let_in(request: Request, catalog: Catalog) -> Reply | None:
    """Answer a call that may come in; None where the path does not take the method."""
    segments = request.segments
    if request.method == "POST" and any(path_matches(segments, steps) for steps in ASYNC_ROUTES):
        return Reply(202)
    if path_matches(segments, EXTENSIONS):
        return extend(request, catalog, segments) if request.method in {"POST", "DELETE"} else None
    for route in LISTS:
        if path_matches(segments, route.steps):
            return _list(request, catalog, route)
    for route in ROUTES:
        record_id = route.match(segments)
        if record_id is not None:
            return _record(request, catalog, route, record_id)
    return None


def _list(request: Request, catalog: Catalog, route: ListRoute) -> Reply | None:
    if request.method == ("POST" if route.asks else "GET"):
        return list_records(request, catalog, route)
    return create(request, catalog, route) if request.method == "POST" and route.creates else None


def _record(request: Request, catalog: Catalog, route: Route, record_id: str) -> Reply | None:
    record = catalog.get(route.platform, route.kind, record_id)
    if request.method != "GET" and request.method not in route.writes:
        return None
    if record is None:
        return Reply(404, catalog.error(route.platform, 404))
    if request.method != "GET":
        return change(request, catalog, route, record_id)
    return Reply(200, b'{"data":%b}' % record if route.wrapped else record)


def _key(request: Request, platform: str) -> str:
    if platform == "open_food_network":
        return request.headers.get("x-api-token", "")
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key if scheme.lower() == "bearer" else ""


def _issued(platform: str) -> str:
    """What opens a platform: Pexip Engage takes tokens from its own endpoint only."""
    return _access_token() if platform == "pexip_engage" else TOKEN


def _access_token() -> str:
    return urlsafe_b64encode(f"issued for {TOKEN}".encode()).decode()


def _token(request: Request) -> Reply:
    """Issue a token as OpenID Connect realms do (RFC 6749 4.4 and 5.2)."""
    form = {name: values[0] for name, values in parse_qs(request.body.decode(errors="replace")).items()}
    if request.method != "POST":
        return plain_reply(HTTPStatus.METHOD_NOT_ALLOWED)
    if form.get("grant_type") != "client_credentials":
        return json_reply(400, {"error": "unsupported_grant_type"})
    if not form.get("client_id") or form.get("client_secret") != TOKEN:
        return json_reply(401, {"error": "invalid_client", "error_description": "Invalid client credentials"})
    issued = {"access_token": _access_token(), "token_type": "Bearer", "expires_in": TOKEN_SECONDS}
    return json_reply(200, issued | {"scope": form.get("scope", "")})
