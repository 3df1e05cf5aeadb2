"""Who may call what: every route, every role."""

import asyncio
import time
from typing import Any, get_args

import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute
from multidict import CIMultiDict

from service.actions import load_actions
from service.config import AdminConfig, AdminToken, Role
from service.errors import ConfigError
from service.ingress.admin import AdminDependencies, admin_router
from service.ingress.admin.auth_log import BURST_SECONDS, LINES_PER_SECOND
from service.ingress.admin.router import CONTROLLERS
from service.metrics.families import ADMIN_DENIED
from service.secrets import SecretRef
from service.settings import Settings
from tests.waiting import PATIENCE_SECONDS

from .conftest import ADMIN, ENVIRON, TOKENS, Api, Lines, Opened

ROLES: tuple[Role, ...] = get_args(Role)
IDS = {"rule_type": "customer"}


def routes() -> list[tuple[str, str, Role]]:
    """Every route of the API: method, path with some id in its places, and the least role."""
    parts = AdminDependencies(
        settings=Settings(), admin=ADMIN, environ=ENVIRON, late_store=Opened(None),  # type: ignore[arg-type]
        platforms={}, sources={}, actions=load_actions(),
    )  # fmt: skip
    app = Litestar([admin_router(parts)], openapi_config=None)
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


ROUTES = routes()


def test_every_controller_has_routes_and_every_route_names_its_least_role() -> None:
    assert len(ROUTES) >= len(CONTROLLERS)
    assert {role for _, _, role in ROUTES} <= set(ROLES)


def test_whoever_may_only_look_changes_nothing() -> None:
    assert [path for method, path, role in ROUTES if method != "GET" and role == "viewer"] == []


@pytest.mark.parametrize(
    "value", [None, "", "Bearer", "Bearer ", "Basic all-3", "Bearer all-4", "all-3", "Bearer x all-3"]
)
async def test_nobody_gets_in_without_a_known_token(api: Api, value: str | None) -> None:
    named = {} if value is None else {"authorization": value}
    for method, path, _ in ROUTES:
        answer = await api(method, path, role=None, **named)
        assert (answer.status, answer.body["code"]) == (401, "unauthenticated"), (method, path)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_opens_its_routes_and_no_higher_ones(api: Api, role: Role) -> None:
    for method, path, least in ROUTES:
        answer = await api(method, path, role=role)
        if ROLES.index(role) < ROLES.index(least):
            assert (answer.status, answer.body["code"]) == (403, "permission_denied"), (method, path)
        else:
            assert answer.status not in {401, 403, 500}, (method, path, answer.body)


async def test_unknown_paths_and_methods_are_problems_too(api: Api) -> None:
    answer = await api("GET", "/api/v1/nothing")
    assert (answer.status, answer.body["code"]) == (404, "not_found")
    answer = await api("PATCH", "/api/v1/rule-types")
    assert (answer.status, answer.body["code"]) == (405, "method_not_allowed")


async def test_the_description_lists_every_route_and_needs_no_token(api: Api) -> None:
    for path in ("/docs", "/docs/openapi.json"):
        answer = await api("GET", path, role=None)
        assert answer.status == 200
        told: dict[str, dict[str, Any]] = answer.body["paths"]
        assert sum(len(methods) for methods in told.values()) >= len(ROUTES)
        assert answer.body["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_a_digest_that_is_none_is_refused_at_start() -> None:
    admin = AdminConfig(tokens=(AdminToken(name="ann", role="admin", sha256=SecretRef(env="ADMIN")),))
    parts = AdminDependencies(
        settings=Settings(), admin=admin, environ={"ADMIN": "all-3"}, late_store=Opened(None),  # type: ignore[arg-type]
        platforms={}, sources={}, actions=(),
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"admin\.tokens\[0\]\.sha256: is not a SHA-256"):
        admin_router(parts)


async def test_who_shows_two_tokens_shows_none(api: Api) -> None:
    headers = [("authorization", f"Bearer {TOKENS[role]}") for role in ROLES[::2]]
    for given, status in ((headers, 401), (headers[::-1], 401), (headers[:1], 200)):
        async with api.session.get(api.url + "/api/v1/rules", headers=CIMultiDict(given)) as answer:
            assert answer.status == status


async def test_what_may_be_done_is_told_to_whoever_is_known(api: Api) -> None:
    told = await api("OPTIONS", "/api/v1/rules", role="viewer")
    assert (told.status, "OPTIONS" in told.headers["allow"]) == (204, True)
    assert (await api("OPTIONS", "/api/v1/rules", role=None)).status == 401


@pytest.mark.parametrize(
    ("asked", "role", "told"),
    [
        (("GET", "/api/v1/events/abc"), None, {"reason": "unauthenticated", "http_status": 401}),
        (("POST", "/api/v1/events/abc/replay"), "viewer", {"reason": "permission_denied", "http_status": 403}),
        (("GET", "/api/v1/events/abc?raw=true"), "operator", {"reason": "permission_denied", "http_status": 403}),
    ],
)
async def test_who_is_refused_leaves_a_line_and_a_count_and_nothing_of_what_was_sent(
    asked: tuple[str, str], role: Role | None, told: dict[str, Any], api: Api, lines: Lines
) -> None:
    before = ADMIN_DENIED.values.get((told["reason"],), 0)
    await api(*asked, role=role, **({} if role else {"authorization": "Bearer guessed-4711"}))
    [line] = lines("admin.denied")
    known = {"actor": f"ann-{role}", "role": role} if role else {}
    expected = {**told, **known, "method": asked[0], "client_host": "127.0.0.1", "calls": 1}
    assert {
        name: line[name] for name in line.keys() - {"timestamp", "level", "component", "message", "route"}
    } == expected
    assert line["route"] == "/api/v1/events/{event_id}" + ("/replay" if "replay" in asked[1] else "")
    assert "guessed" not in str(line)
    assert ADMIN_DENIED.values[told["reason"],] == before + 1


async def test_a_scanner_does_not_fill_the_log_and_none_of_its_calls_goes_uncounted(api: Api, lines: Lines) -> None:
    before, began, calls = ADMIN_DENIED.values.get(("unauthenticated",), 0), time.monotonic(), 300
    await asyncio.gather(*[api("GET", "/api/v1/rules", role=None) for _ in range(calls)])
    assert ADMIN_DENIED.values["unauthenticated",] == before + calls
    told: list[dict[str, Any]] = []
    while sum(line["calls"] for line in told) < calls and time.monotonic() < began + PATIENCE_SECONDS:
        await asyncio.sleep(0.1)
        told += lines("admin.denied")
    assert sum(line["calls"] for line in told) == calls
    assert len(told) <= LINES_PER_SECOND * (BURST_SECONDS + time.monotonic() - began) + 1
