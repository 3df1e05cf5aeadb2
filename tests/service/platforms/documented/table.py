"""Tables of a platform's documentation, and the fake that answers exactly the requests of one table."""

import json
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from msgspec import Struct

TOKEN = "documented-token"


class Row(Struct, frozen=True):
    """One operation: the call of our client, and the request and the answer that the pages describe.

    `path` contains the query. `items` is the key of a list's items; None for an answer about one thing. `missing` is
    the kind of error of a write that is answered 404.
    """

    operation: str
    method: str
    path: str
    arguments: Mapping[str, str] = {}
    body: Any = None
    status: int = 200
    answer: Any = None
    items: str | None = None
    next: str | None = None
    missing: str = "record_gone"


class Enumeration(Struct, frozen=True):
    """The documented values at a pointer of a record, and the field of our record that contains them, if any."""

    kind: str
    pointer: str
    values: tuple[str, ...]
    field: str | None = None


class DocumentedRecord(Struct, frozen=True):
    """One record: its id, the operation that answers it, and the pointers of its nullable fields."""

    id: str
    operation: str
    nullable: tuple[str, ...]


class Documentation(Struct, frozen=True):
    """The tables of one platform.

    `headers` are patterns by name, `error` builds the documented body of an error with a text, `transient_422` tells
    that the page asks for retries of such a read, and `token_path` is the path of the token server.
    """

    kind: str
    base_path: str
    account: Mapping[str, Any]
    headers: Mapping[str, str]
    rows: tuple[Row, ...]
    records: Mapping[str, DocumentedRecord]
    enums: tuple[Enumeration, ...]
    error: Callable[[str], Any]
    wrapped: bool = False
    transient_422: bool = False
    token_path: str | None = None

    def row(self, operation: str) -> Row:
        """Return the row of an operation."""
        return next(row for row in self.rows if row.operation == operation)


class Failure(Struct, frozen=True):
    """An answer instead of the documented one."""

    status: int
    body: Any
    headers: Mapping[str, str] = {}


class Fake:
    """Server of one table. A request that no row describes is answered with 501 and noted in `undocumented`."""

    def __init__(self, documentation: Documentation) -> None:
        self._documentation = documentation
        self.url = ""
        self.answers: dict[str, Any] = {}
        self.failures: dict[str, Failure] = {}
        self.requested: list[str] = []
        self.undocumented: list[str] = []

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request."""
        body = await request.read()
        if request.method == "POST" and request.path == self._documentation.token_path:
            return self._issue_token(body)
        row = next((row for row in self._documentation.rows if self._is_described(row, request)), None)
        if row is None:
            return self._reject(f"{request.method} {request.raw_path}")
        mistakes = [*self._header_mistakes(request), *_body_mistakes(row, request, body)]
        if mistakes:
            return self._reject(f"{row.operation}: {', '.join(mistakes)}")
        self.requested.append(row.operation)
        failure = self.failures.get(row.operation)
        if failure is not None:
            return web.json_response(failure.body, status=failure.status, headers=failure.headers)
        answer = self.answers.get(row.operation, row.answer)
        return web.Response(status=row.status) if answer is None else web.json_response(answer, status=row.status)

    def _is_described(self, row: Row, request: web.Request) -> bool:
        path, _, query = (self._documentation.base_path + row.path).partition("?")
        sent_path, _, sent_query = request.raw_path.partition("?")
        same = (row.method, path) == (request.method, sent_path)
        return same and sorted(parse_qsl(query)) == sorted(parse_qsl(sent_query, keep_blank_values=True))

    def _header_mistakes(self, request: web.Request) -> list[str]:
        expected = self._documentation.headers
        return [name for name, form in expected.items() if not re.fullmatch(form, request.headers.get(name, ""))]

    def _issue_token(self, body: bytes) -> web.Response:
        form = dict(parse_qsl(body.decode()))
        if form.get("grant_type") != "client_credentials" or not form.get("client_id") or not form.get("client_secret"):
            return self._reject("token")
        return web.json_response({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 300})

    def _reject(self, reason: str) -> web.Response:
        self.undocumented.append(reason)
        return web.json_response({"undocumented": reason}, status=501)


def _body_mistakes(row: Row, request: web.Request, body: bytes) -> list[str]:
    if row.body is None:
        return ["a body"] if body else []
    typed = request.headers.get("content-type", "").startswith("application/json")
    return [] if typed and json.loads(body or b"null") == row.body else [f"body {body.decode()}"]


@asynccontextmanager
async def serve(documentation: Documentation) -> AsyncGenerator[Fake]:
    """Serve a table on a free port."""
    fake = Fake(documentation)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield fake
    finally:
        await runner.cleanup()
