"""Fixtures for tests of the ingress: a real server on a real store, its responses and log lines."""

import asyncio
import hmac
import json
import os
import resource
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from litestar.plugins import InitPlugin

from service.configuration import load_config
from service.http_client import HttpClient
from service.ingestion.event_store import EventStore
from service.ingestion.sources import Source, build_sources
from service.ingress.app import build_app
from service.ingress.server import Listener
from service.listening_socket import bind
from service.log import configure
from service.platforms.registry import build_platforms
from service.settings import Settings
from tests.waiting import PATIENCE_SECONDS

SECRET = b"s3cret"
ENVIRON = {"ERP_SECRET": SECRET.decode()}
CONFIG = """
platforms:
  erp:
    kind: custom
    base_url: https://erp.example.com/api
    auth: {type: none}
    records: {purchase_order: {path: "/orders/{id}"}}
sources:
  erp-orders:
    platform: erp
    verify: {scheme: hmac, header: X-Signature, algorithm: sha256, encoding: hex, secrets: [{env: ERP_SECRET}]}
    envelope: {kind: custom, id: /id, type: /type, record: {kind: purchase_order, id: /order}}
"""

Serve = Callable[..., Awaitable[str]]
Lines = Callable[..., list[dict[str, Any]]]


class Order(msgspec.Struct):
    """Body of a delivery of the ERP."""

    id: str
    order: str = "4711"
    type: str = "order.updated"
    note: str = ""


def encode(order: Order, size: int = 0) -> bytes:
    """Encode `order`, padded to `size` bytes."""
    body = msgspec.json.encode(order)
    return body if not size else msgspec.json.encode(msgspec.structs.replace(order, note="x" * (size - len(body))))


def signed(body: bytes, **more: str) -> dict[str, str]:
    """Return the headers of a signed delivery of `body`."""
    signature = hmac.digest(SECRET, body, "sha256").hex()
    return {"content-type": "application/json", "x-signature": signature} | {
        name.replace("_", "-"): value for name, value in more.items()
    }


@pytest.fixture(autouse=True)
def log_as_json() -> None:
    configure("service")


@pytest.fixture
def lines(capfd: pytest.CaptureFixture[str]) -> Lines:
    """Return the log lines with these event names since the last call."""

    def read(*names: str) -> list[dict[str, Any]]:
        written = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
        return [line for line in written if line["message"] in names]

    return read


@pytest.fixture
async def sources(settings: Settings, tmp_path: Path) -> AsyncIterator[Mapping[str, Source]]:
    path = tmp_path / "waybill.yaml"
    path.write_text(CONFIG)
    config = load_config(path, ENVIRON)
    async with HttpClient(settings) as outbound:
        yield build_sources(config, ENVIRON, build_platforms(config.platforms, ENVIRON, outbound), settings)


@pytest.fixture
async def serve(sources: Mapping[str, Source]) -> AsyncIterator[Serve]:
    """Serve the webhook app on a free port: `url = await serve(settings, store)`."""
    async with AsyncExitStack() as stack:

        async def start(
            settings: Settings,
            store: EventStore,
            others: Mapping[str, Source] | None = None,
            plugins: Sequence[InitPlugin] = (),
        ) -> str:
            app = build_app(settings, {**sources, **(others or {})}, store, plugins=plugins)
            listener = Listener(app, stack.enter_context(bind("127.0.0.1", 0, "WAYBILL_PORT")), settings)
            await listener.start()
            stack.push_async_callback(listener.stop)
            return f"http://127.0.0.1:{listener.port}"

        yield start


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


class Process:
    """A running command and the log lines read so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self._skipped: list[dict[str, Any]] = []

    async def line(self, name: str) -> dict[str, Any]:
        """Return the first line with this event name that was not returned before; read until it is written."""
        assert self.process.stdout is not None
        for line in self._skipped:
            if line["message"] == name:
                self._skipped.remove(line)
                return line
        async with asyncio.timeout(PATIENCE_SECONDS):
            while raw := await self.process.stdout.readline():
                self.lines.append(json.loads(raw))
                if self.lines[-1]["message"] == name:
                    return self.lines[-1]
                self._skipped.append(self.lines[-1])
        raise AssertionError(f"no {name}: {self.lines}")


Start = Callable[..., Any]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    (tmp_path / "waybill.yaml").write_text(CONFIG)
    async with AsyncExitStack() as stack:

        async def run(*, files: int | None = None, **settings: object) -> Process:
            environ = {name: value for name, value in os.environ.items() if not name.startswith("WAYBILL_")}
            values = {"config": tmp_path / "waybill.yaml", "host": "127.0.0.1", "port": 0, "admin_port": 0, **settings}
            environ |= ENVIRON | {f"WAYBILL_{name.upper()}": str(value) for name, value in values.items()}
            limit = None if files is None else partial(resource.setrlimit, resource.RLIMIT_NOFILE, (files, files))
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "service", "serve", env=environ, preexec_fn=limit,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            stack.push_async_callback(_end, process)
            return Process(process)

        yield run


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.communicate()
