"""Health endpoints of a worker on WAYBILL_ADMIN_PORT: /healthz checks the event loop, /readyz checks the store.

A worker without a rulebook is ready. In a cluster, `waybill rules apply` may wait for ready pods.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Collection

from aiohttp import web

from service.errors import WaybillError
from service.listening_socket import bind
from service.metrics.page import MetricsPage
from service.settings import Settings
from service.store import Shards

CHECK_TIMEOUT_SECONDS = 2.0


@contextlib.asynccontextmanager
async def health_server(settings: Settings, store: Shards, stopping: Callable[[], bool]) -> AsyncGenerator[int]:
    """Serve /healthz, /readyz and /metrics during the block, and yield the bound port. Port 0 binds a free port.

    Raises:
        ConfigError: the server cannot listen on the port.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "up"})

    async def readyz(_: web.Request) -> web.Response:
        reason, unavailable = ("stopping", ()) if stopping() else await check_readiness(store)
        content: dict[str, object] = {"status": "unready", "reason": reason} if reason else {"status": "ready"}
        if unavailable:
            content["unavailable_shards"] = sorted(unavailable)
        return web.json_response(content, status=503 if reason else 200)

    page = MetricsPage("workers", store.samples, settings.backlog_events_max, range(len(store.stores)))

    async def metrics(request: web.Request) -> web.Response:
        body, content_type = await page.render(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        yield await _listen(runner, settings)
    finally:
        await runner.cleanup()


async def check_readiness(store: Shards) -> tuple[str | None, Collection[str]]:
    """Return the error code of the store, such as `store_full`, or None and the shards that accept no writes."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            return None, await store.check(is_worker=True)
    except WaybillError as error:
        return error.kind, ()
    except TimeoutError:
        return "store_unavailable", ()


async def _listen(runner: web.AppRunner, settings: Settings) -> int:
    fix = "set a free port, or 0 for any free port; service and workers on one machine need different ports"
    await web.SockSite(runner, bind(settings.host, settings.admin_port, "WAYBILL_ADMIN_PORT", fix)).start()
    return int(runner.addresses[0][1])
