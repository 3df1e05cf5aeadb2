"""A browser without JavaScript: logs in by the form, follows links, sends forms, and checks the HTML of each page."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from html.parser import HTMLParser
from pathlib import Path

import aiohttp
import pytest
from msgspec import Struct, field

from service.config import Role
from service.log import configure
from service.settings import Settings
from tests.service.ingress.admin.conftest import TOKENS

from .scenario import Scenario, fill, open_scenario

VOID = frozenset({"meta", "link", "input", "br", "rect", "use", "path", "img", "hr"})
NAUGHTY = """<script>alert(1)</script><img src=x onerror=alert(1)>"'`{{77*77}}${7*7}&amp;</title></textarea>\u202e😀"""

LOG_STORE = "https://logs.example.com/"
"""The only other server to which a page may link, and only if it is configured."""


class Page(HTMLParser):
    """Parsed page. Fails on anything that the Content-Security-Policy forbids, and on HTML that is not well formed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.raw = text
        self.words: list[str] = []
        self.links: list[str] = []
        self.forms: list[tuple[str, str]] = []
        self.fields: dict[str, str] = {}
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        assert not [name for name in named if name.startswith("on") or name == "style"], (tag, named)
        assert tag not in {"iframe", "object", "embed", "base", "style"}, tag
        if tag == "script":
            assert named["src"].startswith("/assets/"), named
        for name in ("href", "src", "action"):
            is_log_store = tag == "a" and name == "href" and named.get(name, "").startswith(LOG_STORE)
            assert named.get(name, "/")[:1] in {"/", "#", "?"} or is_log_store, (tag, named)
            assert not named.get(name, "").startswith("//"), (tag, named)
        if "id" in named:
            assert named["id"] not in self.ids, named["id"]
            self.ids.add(named["id"])
        if tag == "a":
            self.links.append(named["href"])
        if tag == "form":
            self.forms.append((named.get("method", "get"), named.get("action", "")))
        if tag in {"input", "select"} and "name" in named:
            self.fields.setdefault(named["name"], named.get("value", ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, (tag, self.open)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"script", "style", "title"}:
            self.words.append(data)


class Answer(Struct):
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def page(self) -> Page:
        return Page(self.text)


class Browser(Struct):
    """Session of one role. `form_token` is read from the pages."""

    url: str
    session: aiohttp.ClientSession
    form_token: str = ""
    headers: dict[str, str] = field(default_factory=dict[str, str])

    async def get(self, path: str, **headers: str) -> Answer:
        return await self._send("GET", path, None, headers)

    async def post(self, path: str, **fields: str) -> Answer:
        return await self.submit(path, {"form_token": self.form_token, **fields})

    async def submit(self, path: str, fields: Mapping[str, str] | str, **headers: str) -> Answer:
        return await self._send("POST", path, fields, headers)

    async def log_in(self, role: Role) -> None:
        answer = await self.submit("/login", {"token": TOKENS[role], "next": "/events"})
        assert (answer.status, answer.headers["location"]) == (303, "/events")
        self.form_token = (await self.get("/events")).page.fields["form_token"]

    async def _send(
        self, method: str, path: str, fields: Mapping[str, str] | str | None, headers: Mapping[str, str]
    ) -> Answer:
        named = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(
            method, self.url + path, data=fields, headers=named, allow_redirects=False
        ) as answer:
            text = await answer.text()
            if text and answer.content_type == "text/html":
                Page(text)
            return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, text)


NewBrowser = Callable[[], Browser]


@pytest.fixture(autouse=True)
def log_as_json() -> None:
    configure("service")


@pytest.fixture
async def scenario(make_settings: Callable[..., Settings], tmp_path: Path) -> AsyncIterator[Scenario]:
    settings = make_settings(backoff_base_seconds=0.02, lease_seconds=20, attempts_max=1)
    async with open_scenario(settings, tmp_path) as opened:
        yield opened


@pytest.fixture
async def filled(scenario: Scenario) -> Scenario:
    await fill(scenario)
    return scenario


@pytest.fixture
async def new_browser(scenario: Scenario) -> AsyncIterator[NewBrowser]:
    async with AsyncExitStack() as stack:
        sessions: list[aiohttp.ClientSession] = []

        def start() -> Browser:
            sessions.append(aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)))
            stack.push_async_callback(sessions[-1].close)
            return Browser(scenario.url, sessions[-1])

        yield start


@pytest.fixture
async def browser(new_browser: NewBrowser) -> Browser:
    """A browser of an operator."""
    opened = new_browser()
    await opened.log_in("operator")
    return opened
