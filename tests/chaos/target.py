"""Platform and sink of a chaos run, in the process that counts. No fault affects this process."""

import asyncio
import itertools
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Literal

from aiohttp import web

from tests.chaos.tally import Tally

PRICE = {"value": "9.95", "currency": "EUR"}
STARTED_AT = datetime(2026, 1, 1, tzinfo=UTC)
REPLICA_LAG_SECONDS = 4
PUT_TIMEOUT_SECONDS = 5
NO_ROUTE = {"message": "no Route matched with those values"}
"""Response of a gateway that has lost its routes, as by Kong."""
AMBIGUOUS_STATUSES = (408, 500, 502, 503, 504, 507, 522)
"""Responses that leave open whether the target acted; 503 without Retry-After."""

NO_RESPONSE_SECONDS = 2 * PUT_TIMEOUT_SECONDS
PUT_RESPONSES = (200, 503, 200, 429, 200, 0)
"""Responses to PUTs of a target that rejects, in turn; 0: none, until the client closes the connection."""

ReadMode = Literal["current", "replica", "no route"]
"""Responses to reads: the current state, in turn with that of a replica that is behind, or 404 by a gateway."""


class FakeTarget:
    """Serves purchase orders, of which the received quantity grows, and counts the calls of actions."""

    def __init__(self, tally: Tally) -> None:
        self.port = 0
        self.reads: ReadMode = "current"
        self.is_ambiguous = False
        self.is_rejecting = False
        self._numbers = itertools.count()
        self._started = time.monotonic()
        self._tally = tally
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Start to listen on a free port."""
        app = web.Application()
        app.router.add_get("/orders/{id}", self._order)
        app.router.add_post("/sink/{action}", self._act)
        app.router.add_put("/sink/{action}", self._put)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop to listen."""
        if self._runner:
            await self._runner.cleanup()

    async def _order(self, request: web.Request) -> web.Response:
        if self.reads == "no route":
            return web.json_response(NO_ROUTE, status=404)
        seconds = time.monotonic() - self._started
        if self.reads == "replica" and next(self._numbers) % 2:
            seconds = max(seconds - REPLICA_LAG_SECONDS, 0)
        received = int(seconds * 10)
        order = {
            "id": request.match_info["id"],
            "status": "received",
            "updated_at": (STARTED_AT + timedelta(seconds=received / 10)).isoformat(),
            "lines": [{"quantity_ordered": 1_000_000, "quantity_received": received, "price": PRICE}],
        }
        return web.Response(text=json.dumps(order), content_type="application/json")

    async def _put(self, request: web.Request) -> web.Response:
        body = await request.json()
        status = PUT_RESPONSES[next(self._numbers) % len(PUT_RESPONSES)] if self.is_rejecting else 200
        if status == 200:
            self._tally.record_state(body["order"], int(body["received"]), request.headers["idempotency-key"])
            return await self._act(request)
        if status == 0:
            await asyncio.sleep(NO_RESPONSE_SECONDS)
        return web.Response(status=status or 504, headers={"Retry-After": "1"} if status == 429 else {})

    async def _act(self, request: web.Request) -> web.Response:
        self._tally.record_call(request.match_info["action"], request.headers["idempotency-key"])
        if self.is_ambiguous:
            return web.Response(status=AMBIGUOUS_STATUSES[next(self._numbers) % len(AMBIGUOUS_STATUSES)])
        return web.json_response({})
