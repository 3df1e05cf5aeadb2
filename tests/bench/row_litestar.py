"""Row `litestar`: microseconds of one delivery through Litestar, compared with the same handler as bare ASGI."""

import asyncio
import hashlib
import hmac
import os
import time
from collections.abc import Sequence
from typing import Any, cast

import uvloop
from litestar.routes import ASGIRoute
from litestar.types import Receive, Scope, Send

from service.config import Config
from service.configuration import load_config
from service.garbage import tune_garbage_collector
from service.http_client import HttpClient
from service.ingestion.sources import build_sources
from service.ingress.app import WEBHOOKS_PATH, build_app
from service.log import configure
from service.platforms.registry import build_platforms
from service.settings import Settings
from service.store import IngestRequest, IngestResult, QuarantinedDelivery, QueueStats
from tests.bench.material import SECRET, SECRET_NAME, SOURCE, TOKEN_NAME, delivery_body
from tests.bench.stage import Stage
from tests.bench.table import Line, within

SAMPLES = 200
BUDGET_US = 6.0


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


def measure(stage: Stage, repeats: int, *, quick: bool) -> list[Line]:
    """Handle the same delivery in this process, by turns; the least of many short samples, in CPU time."""
    stage.write_config("http://127.0.0.1:1")
    secrets = {SECRET_NAME: SECRET, TOKEN_NAME: "bench-token"}
    settings = stage.settings()
    tune_garbage_collector()
    configure("service", fd=os.open(os.devnull, os.O_WRONLY))
    config = load_config(stage.directory / "waybill.yaml", secrets)
    bare, through = uvloop.run(_run(settings, config, secrets, max(repeats, 1) * SAMPLES, 20 if quick else 50))
    detail = f"the handler as bare ASGI {bare:.1f} us, through Litestar {through:.1f} us; the store answers at once"
    return [within("litestar: its part of a delivery", through - bare, "us", BUDGET_US, detail)]


async def _run(
    settings: Settings, config: Config, secrets: dict[str, str], samples: int, loops: int
) -> tuple[float, float]:
    async with HttpClient(settings) as outbound:
        sources = build_sources(config, secrets, build_platforms(config.platforms, secrets, outbound), settings)
        app = build_app(settings, sources, InstantStore())
        [mount] = [route for route in app.routes if isinstance(route, ASGIRoute)]
        bare = mount.route_handler.fn
        times: dict[str, list[float]] = {"bare": [], "litestar": []}
        for _ in range(samples):
            times["bare"].append(await _microseconds(bare, f"/{SOURCE}", loops))
            times["litestar"].append(await _microseconds(cast("Any", app), f"{WEBHOOKS_PATH}/{SOURCE}", loops))
    return min(times["bare"]), min(times["litestar"])


async def _microseconds(app: Any, path: str, loops: int) -> float:
    body = delivery_body("event-1", "po-1")
    signature = hmac.digest(SECRET.encode(), body, hashlib.sha256).hex().encode()
    named = {b"host": b"localhost", b"content-type": b"application/json", b"x-signature": signature}
    fixed = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http",
        "headers": list(named.items()), "client": ("192.0.2.1", 1), "server": ("localhost", 80),
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
        raise RuntimeError(f"deliveries were answered {set(statuses)}")
    return spent / loops * 1_000_000
