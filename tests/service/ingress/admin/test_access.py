"""Authentication and authorization of every route with every role."""

import asyncio
import time
from functools import cache
from typing import Any, get_args

import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute
from msgspec import structs
from multidict import CIMultiDict

from service.config import AdminConfig, AdminToken, Role
from service.errors import ConfigError, StoreUnavailable
from service.ingress.admin import admin_router
from service.ingress.admin.auth_log import BURST_SECONDS, LINES_PER_SECOND
from service.ingress.admin.router import CONTROLLERS
from service.metrics.families import ADMIN_DENIED
from service.secrets import SecretRef
from service.store import Store
from tests.waiting import PATIENCE_SECONDS

from .conftest import CONFIG, ENVIRON, TOKENS, Api, Lines, installation_of

pytestmark = pytest.mark.slow

ROLES: tuple[Role, ...] = get_args(Role)
IDS = {"rule_type": "customer"}


def no_store() -> Store:
    raise StoreUnavailable("there is no store")


@cache
def routes() -> list[tuple[str, str, Role]]:
    """Return every route: method, path with sample ids, and minimum role."""
    app = Litestar([admin_router(installation_of(no_store), ENVIRON)], openapi_config=None)
    found: list[tuple[str, str, Role]] = []
    for route in app.routes:
        assert isinstance(route, HTTPRoute)
        path = "".join(
            f"/{part}" if isinstance(part, str) else f"/{IDS.get(part.name, 'x')}" for part in route.path_components
        )
        for handler in route.route_handlers:
            methods = handler.http_methods - {"OPTIONS", "HEAD"}
            found.extend((str(method), path, handler.opt["role"]) for method in methods)
    return found


STREAM = "/api/v1/live"


def test_every_route_names_its_required_role() -> None:
    assert len(routes()) >= len(CONTROLLERS)
    assert {role for _, _, role in routes()} <= set(ROLES)


def test_viewers_have_read_routes_only() -> None:
    assert [path for method, path, role in routes() if method != "GET" and role == "viewer"] == []


@pytest.mark.parametrize(
    "value", [None, "", "Bearer", "Bearer ", "Basic all-3", "Bearer all-4", "all-3", "Bearer x all-3"]
)
async def test_a_request_without_a_known_token_is_rejected(api: Api, value: str | None) -> None:
    named = {} if value is None else {"authorization": value}
    for method, path, _ in routes():
        answer = await api(method, path, role=None, **named)
        assert (answer.status, answer.body["code"]) == (401, "unauthenticated"), (method, path)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_permits_its_routes_only(api: Api, role: Role) -> None:
    for method, path, required in routes():
        if path == STREAM and required == ROLES[0]:
            continue  # permitted for every role, and without an end
        answer = await api(method, path, role=role)
        if ROLES.index(role) < ROLES.index(required):
            assert (answer.status, answer.body["code"]) == (403, "permission_denied"), (method, path)
        else:
            assert answer.status not in {401, 403, 500}, (method, path, answer.body)


async def test_unknown_paths_and_methods_return_problems(api: Api) -> None:
    answer = await api("GET", "/api/v1/nothing")
    assert (answer.status, answer.body["code"]) == (404, "not_found")
    answer = await api("PATCH", "/api/v1/rule-types")
    assert (answer.status, answer.body["code"]) == (405, "method_not_allowed")


async def test_the_openapi_document_lists_every_route_without_a_token(api: Api) -> None:
    answer = await api("GET", "/docs/openapi.json", role=None)
    assert answer.status == 200
    paths: dict[str, dict[str, Any]] = answer.body["paths"]
    assert sum(len(methods) for methods in paths.values()) >= len(routes())
    assert answer.body["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_an_invalid_digest_is_rejected_at_start() -> None:
    admin = AdminConfig(tokens=(AdminToken(name="ann", role="admin", sha256=SecretRef(env="ADMIN")),))
    installation = installation_of(no_store, structs.replace(CONFIG, admin=admin))
    with pytest.raises(ConfigError, match=r"admin\.tokens\[0\]\.sha256: is not a SHA-256"):
        admin_router(installation, {"ADMIN": "all-3"})


async def test_two_authorization_headers_are_rejected(api: Api) -> None:
    headers = [("authorization", f"Bearer {TOKENS[role]}") for role in ROLES[::2]]
    for given, status in ((headers, 401), (headers[::-1], 401), (headers[:1], 200)):
        async with api.session.get(api.url + "/api/v1/rules", headers=CIMultiDict(given)) as answer:
            assert answer.status == status


async def test_options_requires_a_known_token(api: Api) -> None:
    answer = await api("OPTIONS", "/api/v1/rules", role="viewer")
    assert (answer.status, "OPTIONS" in answer.headers["allow"]) == (204, True)
    assert (await api("OPTIONS", "/api/v1/rules", role=None)).status == 401


@pytest.mark.parametrize(
    ("call", "role", "fields"),
    [
        (("GET", "/api/v1/events/abc"), None, {"reason": "unauthenticated", "http_status": 401}),
        (("POST", "/api/v1/events/abc/replay"), "viewer", {"reason": "permission_denied", "http_status": 403}),
        (("GET", "/api/v1/events/abc?raw=true"), "operator", {"reason": "permission_denied", "http_status": 403}),
    ],
)
async def test_a_denied_call_is_logged_and_counted_without_request_data(
    call: tuple[str, str], role: Role | None, fields: dict[str, Any], own_api: Api, lines: Lines
) -> None:
    before = ADMIN_DENIED.values.get((fields["reason"],), 0)
    await own_api(*call, role=role, **({} if role else {"authorization": "Bearer guessed-4711"}))
    [line] = lines("admin.denied")
    known = {"actor": f"ann-{role}", "role": role} if role else {}
    expected = {**fields, **known, "method": call[0], "client_host": "127.0.0.1", "calls": 1}
    assert {
        name: line[name]
        for name in line.keys() - {"timestamp", "level", "component", "version", "instance", "message", "route"}
    } == expected
    assert line["route"] == "/api/v1/events/{event_id}" + ("/replay" if "replay" in call[1] else "")
    assert "guessed" not in str(line)
    assert ADMIN_DENIED.values[fields["reason"],] == before + 1


async def test_many_denied_calls_share_log_lines_and_are_all_counted(own_api: Api, lines: Lines) -> None:
    before, started, calls = ADMIN_DENIED.values.get(("unauthenticated",), 0), time.monotonic(), 300
    await asyncio.gather(*[own_api("GET", "/api/v1/rules", role=None) for _ in range(calls)])
    assert ADMIN_DENIED.values["unauthenticated",] == before + calls
    denied: list[dict[str, Any]] = []
    while sum(line["calls"] for line in denied) < calls and time.monotonic() < started + PATIENCE_SECONDS:
        await asyncio.sleep(0.1)
        denied += lines("admin.denied")
    assert sum(line["calls"] for line in denied) == calls
    assert len(denied) <= LINES_PER_SECOND * (BURST_SECONDS + time.monotonic() - started) + 1
