"""Health endpoints on both ports: /healthz for liveness, /readyz for the ability to store an event durably."""

import asyncio
from collections.abc import Collection
from typing import Any

import msgspec
from litestar import HttpMethod, Response, route
from litestar.handlers import HTTPRouteHandler

from service.errors import WaybillError
from service.ingestion.event_store import EventStore
from service.settings import Settings

CACHE_SECONDS = 1.0
"""Lifetime of a cached result, so that many probes cost one check of the store per second."""

CHECK_TIMEOUT_SECONDS = 2.75
"""Above the longest check of a shard, and below the 3 seconds after which the probes of the chart fail."""

READINESS = "readiness"
"""Key of the Readiness in the state of the admin app."""

PROBES = [HttpMethod.GET, HttpMethod.HEAD]
"""Load balancers use either method."""


class Readiness:
    """Readiness of this process to ingest events; shared by both ports."""

    def __init__(self, settings: Settings, store: EventStore) -> None:
        self._settings = settings
        self._store = store
        self._check_lock = asyncio.Lock()
        self._reason: str | None = None
        self._unavailable_shards: Collection[str] = ()
        self._known_until = 0.0
        self.stopping = False
        """True once the process begins to stop."""

    async def reason(self) -> str | None:
        """Return the reason for which no event can be ingested (`stopping`, `store_full`, …), None when ready."""
        if self.stopping:
            return "stopping"
        # One caller checks the store, concurrent callers share its result.
        async with self._check_lock:
            now = asyncio.get_running_loop().time()
            if now >= self._known_until:
                self._reason = await self._check()
                self._known_until = now + CACHE_SECONDS
        return self._reason

    def describe(self, reason: str | None) -> dict[str, Any]:
        """Build the response of /readyz. It holds no detail of an error, since senders can read it."""
        content: dict[str, Any] = {"status": "unready", "reason": reason} if reason else {"status": "ready"}
        if self._unavailable_shards and not reason:
            content["unavailable_shards"] = sorted(self._unavailable_shards)
        content["durability"] = self._settings.durability
        if self._settings.durability == "declared":
            content["loss_window_seconds"] = self._settings.declared_loss_window_seconds
        return content

    async def _check(self) -> str | None:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
                self._unavailable_shards = await self._store.check() or ()
        except WaybillError as error:
            return error.kind
        except TimeoutError:
            return "store_unavailable"
        return None


def health_routes(readiness: Readiness) -> list[HTTPRouteHandler]:
    """Build the routes /healthz and /readyz."""

    @route("/healthz", http_method=PROBES, sync_to_thread=False)
    def healthz() -> Response[bytes]:
        return Response(b'{"status":"up"}', media_type="application/json")

    @route("/readyz", http_method=PROBES)
    async def readyz() -> Response[bytes]:
        reason = await readiness.reason()
        body = msgspec.json.encode(readiness.describe(reason))
        return Response(body, status_code=503 if reason else 200, media_type="application/json")

    return [healthz, readyz]
