"""Health endpoints of a worker on WAYBILL_ADMIN_PORT: /healthz checks the event loop, /readyz checks the store.

A worker without a rulebook is ready. In a cluster, `waybill rules apply` may wait for ready pods.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Collection, Mapping

import msgspec

from service.errors import WaybillError
from service.listening_socket import bind
from service.metrics.page import MetricsPage
from service.settings import Settings
from service.store import Shards
from workers.health_connections import HealthConnections, HealthPage

CHECK_TIMEOUT_SECONDS = 2.75
"""Above the longest check of a shard, and below the 3 seconds after which the probes of the chart fail."""


@contextlib.asynccontextmanager
async def health_server(settings: Settings, store: Shards, stopping: Callable[[], bool]) -> AsyncGenerator[int]:
    """Serve /healthz, /readyz and /metrics during the block, and yield the bound port. Port 0 binds a free port.

    Raises:
        ConfigError: the server cannot listen on the port.
    """

    async def healthz(_: str) -> HealthPage:
        return _json(200, {"status": "up"})

    async def readyz(_: str) -> HealthPage:
        reason, unavailable = ("stopping", ()) if stopping() else await check_readiness(store)
        if reason:
            return _json(503, {"status": "unready", "reason": reason})
        return _json(200, {"status": "ready"} | ({"unavailable_shards": sorted(unavailable)} if unavailable else {}))

    page = MetricsPage("workers", store.samples, settings.shard_events_max, range(len(store.stores)))

    async def metrics(accept: str) -> HealthPage:
        body, content_type = await page.render(accept)
        return HealthPage(200, content_type, body)

    fix = "set a free port, or 0 for any free port; service and workers on one machine need different ports"
    sock = bind(settings.host, settings.admin_port, "WAYBILL_ADMIN_PORT", fix)
    connections = HealthConnections({"/healthz": healthz, "/readyz": readyz, "/metrics": metrics})
    async with connections.serve(sock) as port:
        yield port


def _json(status: int, content: Mapping[str, object]) -> HealthPage:
    return HealthPage(status, "application/json; charset=utf-8", msgspec.json.encode(content))


async def check_readiness(store: Shards) -> tuple[str | None, Collection[str]]:
    """Return the error code of the store, such as `store_full`, or None and the shards that accept no writes."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            return None, await store.check(is_worker=True)
    except WaybillError as error:
        return error.kind, ()
    except TimeoutError:
        return "store_unavailable", ()
