"""Health of a worker, on WAYBILL_ADMIN_PORT: /healthz says that its event loop turns, /readyz that the store answers.

A worker without a rulebook is ready: it waits for `waybill rules apply`, which in a cluster may wait for the pods.
"""

import asyncio
import contextlib
import errno
from collections.abc import AsyncGenerator, Callable

from aiohttp import web

from service.errors import ConfigError, WaybillError
from service.metrics.page import CONTENT_TYPE, MetricsPage
from service.settings import Settings
from service.store import Store

CHECK_SECONDS_MAX = 2.0


@contextlib.asynccontextmanager
async def health_server(settings: Settings, store: Store, stopping: Callable[[], bool]) -> AsyncGenerator[int]:
    """Serve both answers during the block and give the port that was bound; setting 0 takes a free one.

    Raises:
        ConfigError: the port cannot be had.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "up"})

    async def readyz(_: web.Request) -> web.Response:
        reason = "stopping" if stopping() else await not_ready_reason(store)
        content = {"status": "unready", "reason": reason} if reason else {"status": "ready"}
        return web.json_response(content, status=503 if reason else 200)

    page = MetricsPage("workers", store.sample)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=await page.render(), headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        yield await _listen(runner, settings)
    finally:
        await runner.cleanup()


async def not_ready_reason(store: Store) -> str | None:
    """Give the stable word for why the store is of no use now (`store_unavailable`, `store_full`, …); None if it is."""
    try:
        async with asyncio.timeout(CHECK_SECONDS_MAX):
            await store.check()
    except WaybillError as error:
        return error.kind
    except TimeoutError:
        return "store_unavailable"
    return None


async def _listen(runner: web.AppRunner, settings: Settings) -> int:
    try:
        await web.TCPSite(runner, settings.host, settings.admin_port).start()
    except OSError as error:
        reason = (
            f"cannot listen on {settings.host}:{settings.admin_port} ({errno.errorcode.get(error.errno or 0, error)})"
        )
        fix = "take a free port, or 0 for any; service and workers on one machine each need their own"
        raise ConfigError("WAYBILL_ADMIN_PORT", reason, fix) from error
    return int(runner.addresses[0][1])
