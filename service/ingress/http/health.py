"""/healthz says that the process answers, /readyz whether an event can be kept durably now; both are on both ports."""

import asyncio
from typing import Any

import msgspec
from litestar import HttpMethod, Response, route
from litestar.handlers import HTTPRouteHandler

from service.errors import WaybillError
from service.ingestion.event_store import EventStore
from service.settings import Settings

CACHE_SECONDS = 1.0
"""How long an answer is repeated: probes of many callers cost the store one check a second."""

CHECK_TIMEOUT_SECONDS = 2.0

PROBES = [HttpMethod.GET, HttpMethod.HEAD]
"""Load balancers ask by either; a HEAD is answered without its body."""


class Readiness:
    """Whether this process can take events in; shared by both ports."""

    def __init__(self, settings: Settings, store: EventStore) -> None:
        self._settings = settings
        self._store = store
        self._looking = asyncio.Lock()
        self._reason: str | None = None
        self._known_until = 0.0
        self.stopping = False
        """Set when the process begins to stop: no new senders, please."""

    async def reason(self) -> str | None:
        """Give the stable word for why no event can be accepted (`stopping`, `store_full`, …); None if one can."""
        if self.stopping:
            return "stopping"
        # One caller asks, the others wait for its answer.
        async with self._looking:
            now = asyncio.get_running_loop().time()
            if now >= self._known_until:
                self._reason = await self._ask()
                self._known_until = now + CACHE_SECONDS
        return self._reason

    def describe(self, reason: str | None) -> dict[str, Any]:
        """Say it, with what a 202 survives; never more of an error than its word, since senders can read this."""
        content: dict[str, Any] = {"status": "unready", "reason": reason} if reason else {"status": "ready"}
        content["durability"] = self._settings.durability
        if self._settings.durability == "declared":
            content["loss_window_seconds"] = self._settings.declared_loss_window_seconds
        return content

    async def _ask(self) -> str | None:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
                await self._store.check()
        except WaybillError as error:
            return error.kind
        except TimeoutError:
            return "store_unavailable"
        return None


def health_routes(readiness: Readiness) -> list[HTTPRouteHandler]:
    """Make the two handlers, for either port."""

    @route("/healthz", http_method=PROBES, sync_to_thread=False)
    def healthz() -> Response[bytes]:
        return Response(b'{"status":"up"}', media_type="application/json")

    @route("/readyz", http_method=PROBES)
    async def readyz() -> Response[bytes]:
        reason = await readiness.reason()
        body = msgspec.json.encode(readiness.describe(reason))
        return Response(body, status_code=503 if reason else 200, media_type="application/json")

    return [healthz, readyz]
