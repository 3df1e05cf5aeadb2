"""The sender: numbered signed events at a rate, each sent again until it is acknowledged, as platforms do."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import random

import aiohttp

from tests.chaos.fleet import SECRET, Fleet
from tests.chaos.tally import Tally

LANES = 500
ANSWER_SECONDS_MAX = 5.0


class Prober:
    """Sends in the background; `numbers` counts what was begun."""

    def __init__(self, fleet: Fleet, tally: Tally, rate: float, dice: random.Random) -> None:
        self._fleet = fleet
        self._tally = tally
        self._rate = rate
        self._dice = dice
        self._under_way: set[asyncio.Task[None]] = set()
        self._client: aiohttp.ClientSession | None = None
        self.numbers = 0

    async def send_for(self, seconds: float) -> range:
        """Send for a while; gives the numbers. They may not be acknowledged yet, see `settle`."""
        first = self.numbers
        loop = asyncio.get_running_loop()
        began = loop.time()
        while (due := began + (self.numbers - first) / self._rate) < began + seconds:
            await asyncio.sleep(max(due - loop.time(), 0))
            task = asyncio.create_task(self._deliver(self.numbers))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            self.numbers += 1
        return range(first, self.numbers)

    async def settle(self, seconds_max: float) -> None:
        """Wait until everything that was sent is acknowledged, or give up on the rest."""
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=seconds_max)
            for task in late:
                task.cancel()

    async def close(self) -> None:
        """Stop sending."""
        await self.settle(0)
        if self._client:
            await self._client.close()

    async def _deliver(self, number: int) -> None:
        body = json.dumps({"id": f"e{number}", "type": "order.updated", "order": f"o{number % LANES}"}).encode()
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Signature": signature, "Content-Type": "application/json"}
        self._tally.sent += 1
        attempt = number
        while True:
            port = self._fleet.ports[attempt % 2]
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                async with self._session().post(
                    f"http://127.0.0.1:{port}/webhooks/orders", data=body, headers=headers
                ) as answer:
                    if answer.status == 202:
                        self._tally.acknowledge(number, (await answer.json())["event_id"])
                        return
            attempt += 1
            await asyncio.sleep(self._dice.uniform(0.1, 0.5))

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None:
            timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX)
            self._client = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=200))
        return self._client
