"""Health endpoints of a worker on WAYBILL_ADMIN_PORT: /healthz checks the event loop, /readyz checks the store.

A worker without a rulebook is ready. In a cluster, `waybill rules apply` may wait for ready pods.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping

import msgspec

from service.errors import WaybillError
from service.listening_socket import bind
from service.metrics.page import MetricsPage
from service.settings import Settings
from service.store import Store
from service.store.shards import shard_urls
from workers.health_connections import HealthConnections, HealthPage

CHECK_TIMEOUT_SECONDS = 2.0


@contextlib.asynccontextmanager
async def health_server(settings: Settings, store: Store, stopping: Callable[[], bool]) -> AsyncGenerator[int]:
    """Serve /healthz, /readyz and /metrics during the block, and yield the bound port. Port 0 binds a free port.

    Raises:
        ConfigError: the server cannot listen on the port.
    """

    async def healthz(_: str) -> HealthPage:
        return _json(200, {"status": "up"})

    async def readyz(_: str) -> HealthPage:
        reason = "stopping" if stopping() else await not_ready_reason(store)
        return _json(503, {"status": "unready", "reason": reason}) if reason else _json(200, {"status": "ready"})

    shard = shard_urls(settings).index(settings.redis_url)
    page = MetricsPage("workers", store.samples, settings.backlog_events_max, [shard])

    async def metrics(accept: str) -> HealthPage:
        body, content_type = await page.render(accept)
        return HealthPage(200, content_type, body)

    fix = "set a free port, or 0 for any free port; service and workers on one machine need different ports"
    sock = bind(settings.host, settings.admin_port, "WAYBILL_ADMIN_PORT", fix)
    connections = HealthConnections({"/healthz": healthz, "/readyz": readyz, "/metrics": metrics})
    async with connections.serve(sock) as port:
        yield port


def _json(status: int, content: Mapping[str, str]) -> HealthPage:
    return HealthPage(status, "application/json; charset=utf-8", msgspec.json.encode(content))


async def not_ready_reason(store: Store) -> str | None:
    """Return the error code of the store, such as `store_full`, or None if the store is ready."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            await store.check(is_worker=True)
    except WaybillError as error:
        return error.kind
    except TimeoutError:
        return "store_unavailable"
    return None
