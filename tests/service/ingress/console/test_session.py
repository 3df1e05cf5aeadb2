"""Login, roles, and forged requests, for every route of the console."""

import hashlib
import time
from functools import cache

import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute
from msgspec import structs

from service.config import AdminConfig, Role
from service.ingress.admin.auth import ROLES
from service.ingress.console import console_router, template_config
from service.ingress.console.session import COOKIE, SESSION_SECONDS_MAX
from service.metrics.families import ADMIN_DENIED
from tests.service.ingress.admin.conftest import CONFIG, ENVIRON, TOKENS, installation_of
from tests.service.ingress.admin.test_access import no_store

from .conftest import Browser, NewBrowser
from .scenario import Scenario

pytestmark = pytest.mark.slow


@cache
def routes() -> list[tuple[str, str, Role | None]]:
    """Return every page: method, path with sample ids, and minimum role; None for a public page."""
    app = Litestar(
        [console_router(installation_of(no_store), ENVIRON)], template_config=template_config(), openapi_config=None
    )
    found: list[tuple[str, str, Role | None]] = []
    for route in app.routes:
        assert isinstance(route, HTTPRoute)
        path = "".join(f"/{part}" if isinstance(part, str) else "/x" for part in route.path_components) or "/"
        for handler in route.route_handlers:
            methods = handler.http_methods - {"OPTIONS", "HEAD"}
            role = None if not methods or handler.opt.get("public") else handler.opt["role"]
            found += [(str(method), path, role) for method in methods]
    return found


STREAM = "/events/live"


def test_only_the_login_and_the_files_are_public() -> None:
    public = [(method, path) for method, path, role in routes() if role is None]
    assert sorted(public) == [("GET", "/assets/x/x"), ("GET", "/login"), ("POST", "/login")]


def test_viewers_change_nothing_but_their_session() -> None:
    assert [path for method, path, role in routes() if method == "POST" and role == "viewer"] == ["/logout"]


async def test_without_a_session_every_page_leads_to_the_login(new_browser: NewBrowser) -> None:
    browser = new_browser()
    for method, path, role in routes():
        if role is not None:
            answer = await (browser.get(path) if method == "GET" else browser.submit(path, {}))
            assert (answer.status, answer.headers["location"][:6], answer.text) == (303, "/login", ""), path
    answer = await browser.get("/events?source=a&state=dead")
    assert answer.headers["location"] == "/login?next=/events%3Fsource%3Da%26state%3Ddead"
    answer = await browser.get("/", hx_request="true")
    assert (answer.status, answer.headers["hx-redirect"]) == (200, "/login")


async def test_a_role_opens_its_pages_only(new_browser: NewBrowser) -> None:
    # The lines of denied calls have a limit, which earlier tests of the shared app can have used: the metric has none.
    before, rejected = ADMIN_DENIED.values.get(("permission_denied",), 0), 0
    for role in ROLES:
        browser = new_browser()
        await browser.log_in(role)
        for method, path, required in routes():
            if required is None or path in {"/logout", STREAM}:
                continue  # the stream has no end
            answer = await (browser.get(path) if method == "GET" else browser.post(path))
            denied = ROLES.index(role) < ROLES.index(required)
            assert (answer.status == 403) == denied, (role, method, path, answer.status)
            rejected += denied
            assert answer.status < 500, (role, method, path)
            assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.headers["cache-control"] == "no-store"
    assert ADMIN_DENIED.values["permission_denied",] == before + rejected > before


async def test_a_form_without_the_token_of_the_session_is_rejected(
    browser: Browser, new_browser: NewBrowser, filled: Scenario
) -> None:
    other = new_browser()
    await other.log_in("operator")
    allowed = [path for method, path, role in routes() if method == "POST" and role in {"viewer", "operator"}]
    paths = [*allowed, f"/events/{filled.dead}/replay"]
    for path in paths:
        for forged in ("", "x" * 32, other.form_token, "é"):
            answer = await browser.submit(path, {"form_token": forged})
            assert (answer.status, "forged" in answer.text) == (403, True), path
        for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec_fetch_site": "cross-site"}):
            answer = await browser.submit(path, {"form_token": browser.form_token}, **headers)
            assert (answer.status, "another site" in answer.text) == (403, True), path
    assert (await filled.worker.stored_event(filled.dead))["state"] == "dead"
    answer = await browser.submit(paths[-1], {"form_token": browser.form_token}, origin=browser.url)
    assert answer.status == 200


async def test_the_login_rejects_unknown_tokens_and_foreign_targets(new_browser: NewBrowser) -> None:
    browser = new_browser()
    for token in ("", "all-4", "x" * 5_000, "\x00", "é"):
        answer = await browser.submit("/login", {"token": token, "next": "/events"})
        assert (answer.status, "not known" in answer.page.text, answer.page.fields["next"]) == (401, True, "/events")
    for target in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nb: c"):
        answer = await browser.submit("/login", {"token": TOKENS["viewer"], "next": target})
        assert (answer.status, answer.headers["location"]) == (303, "/"), target
    answer = await browser.submit("/login", {"token": TOKENS["viewer"]}, origin="https://evil.example")
    assert answer.status == 403


async def test_the_cookie_is_strict_and_ends_with_the_logout(new_browser: NewBrowser) -> None:
    browser = new_browser()
    answer = await browser.submit("/login", {"token": f" {TOKENS['viewer']}\n"})
    cookie = answer.headers["set-cookie"].lower()
    assert {"httponly", "samesite=strict", "path=/", f"max-age={SESSION_SECONDS_MAX}"} <= set(cookie.split("; "))
    assert ("secure" in cookie, TOKENS["viewer"] in cookie) == (False, False)
    behind_tls = {"origin": browser.url.replace("http", "https"), "sec_fetch_site": "same-origin"}
    answer = await browser.submit("/login", {"token": TOKENS["viewer"]}, **behind_tls)
    assert "; secure" in answer.headers["set-cookie"].lower()
    other = new_browser()
    await other.log_in("viewer")
    assert (await other.post("/logout")).headers["location"] == "/login"
    assert (await other.get("/")).status == 303


async def test_a_changed_cookie_is_no_session(new_browser: NewBrowser) -> None:
    browser = new_browser()
    answer = await browser.submit("/login", {"token": TOKENS["viewer"]})
    value = answer.headers["set-cookie"].split("=", 1)[1].split(";")[0].strip('"')
    expires, name, nonce, signature = value.split(":")
    changed = [
        "", ":::", value[:-1], f"{value}0", f"{expires}:ann-admin:{nonce}:{signature}",
        f"{int(expires) + 1}:{name}:{nonce}:{signature}", f"{int(time.time()) - 1}:{name}:{nonce}:{signature}",
        f"{'9' * 5_000}:{name}:{nonce}:{signature}", f"٣:{name}:{nonce}:{signature}",
    ]  # fmt: skip
    for cookie in [*changed, value]:
        stranger = new_browser()
        answer = await stranger.get("/", cookie=f"{COOKIE}={cookie}")
        assert answer.status == (200 if cookie == value else 303), cookie


async def test_sessions_end_with_their_token(scenario: Scenario, new_browser: NewBrowser) -> None:
    """Another digest under the same name is another token."""
    browser = new_browser()
    await browser.log_in("viewer")
    cookies = "; ".join(f"{cookie.key}={cookie.value}" for cookie in browser.session.cookie_jar)
    for tokens, status in ((ENVIRON, 200), (ENVIRON | {"VIEWER": hashlib.sha256(b"new").hexdigest()}, 303)):
        app = Litestar(
            [console_router(scenario.installation, tokens)], template_config=template_config(), openapi_config=None
        )
        assert await status_of(app, cookies) == status


async def test_without_tokens_the_login_explains_how_to_make_one(scenario: Scenario) -> None:
    config = structs.replace(CONFIG, admin=AdminConfig())
    installation = structs.replace(scenario.installation, config=lambda: config)
    app = Litestar([console_router(installation, {})], template_config=template_config(), openapi_config=None)
    assert await status_of(app, "", b"/login", "admin:\n  tokens:") == 200


async def status_of(app: Litestar, cookies: str, path: bytes = b"/events", text: str = "") -> int:
    """Send a GET to an app without a server."""
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": path.decode(), "raw_path": path, "root_path": "", "query_string": b"", "server": ("h", 1),
        "client": ("127.0.0.1", 1), "headers": [(b"host", b"h"), (b"cookie", cookies.encode())],
    }  # fmt: skip
    await app(scope, receive, send)  # type: ignore[arg-type]
    assert text.encode() in b"".join(bytes(message.get("body", b"")) for message in sent)  # type: ignore[arg-type]
    return int(str(sent[0]["status"]))
