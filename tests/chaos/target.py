"""Platform and sink of a chaos run, in the process that counts. No fault affects this process."""

import json

from aiohttp import web

from tests.chaos.tally import Tally

LINES = [{"quantity_ordered": 5, "quantity_received": 3, "price": {"value": "9.95", "currency": "EUR"}}]


class FakeTarget:
    """Serves purchase orders and counts the calls of actions."""

    def __init__(self, tally: Tally) -> None:
        self.port = 0
        self._tally = tally
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Start to listen on a free port."""
        app = web.Application()
        app.router.add_get("/orders/{id}", self._order)
        app.router.add_post("/sink/{action}", self._act)
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
        order = {"id": request.match_info["id"], "status": "received", "lines": LINES}
        return web.Response(text=json.dumps(order), content_type="application/json")

    async def _act(self, request: web.Request) -> web.Response:
        self._tally.record_call(request.match_info["action"], request.headers["idempotency-key"])
        return web.json_response({})
