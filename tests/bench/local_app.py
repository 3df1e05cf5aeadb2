"""Webhook app in this process with a store that answers at once, and the CPU time of a delivery to it."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from litestar import Litestar
from litestar.types import Receive, Scope, Send

from service.config import Config
from service.configuration import load_config
from service.garbage import tune_garbage_collector
from service.http_client import HttpClient
from service.ingestion.sources import build_sources
from service.ingress.app import build_app
from service.log import configure
from service.platforms.registry import build_platforms
from service.settings import Settings
from service.store import IngestRequest, IngestResult, QuarantinedDelivery, QueueStats
from tests.bench.material import SECRET, SECRET_NAME, TOKEN_NAME
from tests.bench.stage import Stage

SECRETS = {SECRET_NAME: SECRET, TOKEN_NAME: "bench-token"}


class InstantStore:
    """EventStore that answers at once."""

    async def ingest_all(self, requests: Sequence[IngestRequest], /) -> list[IngestResult]:
        return [IngestResult("queued", request.event.id) for request in requests]

    async def check(self) -> None: ...

    async def record_untrusted_proxy(self, peer: str, /) -> None:
        raise NotImplementedError(f"{peer} is a proxy")

    async def samples(self) -> Sequence[QueueStats | None]:
        raise NotImplementedError("the row takes no statistics")

    async def open_circuits(self) -> dict[str, float]:
        raise NotImplementedError("the row takes no statistics")

    async def quarantine_deliveries(self, deliveries: Sequence[QuarantinedDelivery], /) -> int:
        raise NotImplementedError(f"{len(deliveries)} deliveries were rejected")


def prepare(stage: Stage) -> Config:
    """Set this process up as `waybill serve` does, with log lines to /dev/null. Return the configuration."""
    tune_garbage_collector()
    configure("service", fd=os.open(os.devnull, os.O_WRONLY))
    return load_config(stage.directory / "waybill.yaml", SECRETS)


@asynccontextmanager
async def open_app(settings: Settings, config: Config) -> AsyncGenerator[Litestar]:
    """Build the app of the webhook port."""
    async with HttpClient(settings) as outbound:
        platforms = build_platforms(config.platforms, SECRETS, outbound)
        yield build_app(settings, build_sources(config, SECRETS, platforms, settings), InstantStore())


async def delivery_us(app: Any, path: str, headers: Mapping[str, str], body: bytes, loops: int) -> float:
    """Return the CPU time of one of `loops` deliveries in microseconds.

    Raises:
        RuntimeError: a delivery was rejected.
    """
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    fixed = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json"), *pairs],
        "client": ("192.0.2.1", 1), "server": ("localhost", 80),
    }  # fmt: skip
    statuses: list[int] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    began = time.process_time()
    for _ in range(loops):
        await app(cast("Scope", fixed | {"state": {}}), cast("Receive", receive), cast("Send", send))
    spent = time.process_time() - began
    await asyncio.sleep(0)
    if set(statuses) != {202}:
        raise RuntimeError(f"deliveries to {path} were answered {set(statuses)}")
    return spent / loops * 1_000_000
