"""Sender: numbered, signed events at a fixed rate. Each delivery is repeated until it is acknowledged."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import random

import aiohttp

from tests.chaos.fleet import SECRET, Fleet
from tests.chaos.tally import Tally

RESPONSE_TIMEOUT_SECONDS = 5.0


class Sender:
    """Sends events in the background. `numbers` is the number of the next event."""

    def __init__(self, fleet: Fleet, tally: Tally, rate: float, rng: random.Random) -> None:
        self._fleet = fleet
        self._tally = tally
        self._rate = rate
        self._rng = rng
        self._in_flight: set[asyncio.Task[None]] = set()
        self._client: aiohttp.ClientSession | None = None
        self.numbers = 0

    async def send_for(self, seconds: float) -> range:
        """Send events for `seconds` and return their numbers. `settle` waits for the acknowledgements."""
        first = self.numbers
        loop = asyncio.get_running_loop()
        started = loop.time()
        while (due := started + (self.numbers - first) / self._rate) < started + seconds:
            await asyncio.sleep(max(due - loop.time(), 0))
            task = asyncio.create_task(self._deliver(self.numbers))
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)
            self.numbers += 1
        return range(first, self.numbers)

    async def settle(self, seconds_max: float) -> None:
        """Wait until all sent events are acknowledged. Cancel the others after `seconds_max`."""
        if self._in_flight:
            _, late = await asyncio.wait(self._in_flight, timeout=seconds_max)
            for task in late:
                task.cancel()

    async def close(self) -> None:
        """Stop sending."""
        await self.settle(0)
        if self._client:
            await self._client.close()

    async def _deliver(self, number: int) -> None:
        body = json.dumps(
            {"id": f"e{number}", "type": "order.updated", "order": f"o{number % self._fleet.lanes}"}
        ).encode()
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Signature": signature, "Content-Type": "application/json"}
        self._tally.sent += 1
        attempt = number
        while True:
            port = self._fleet.ports[attempt % 2]
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                async with self._session().post(
                    f"http://127.0.0.1:{port}/webhooks/orders", data=body, headers=headers
                ) as response:
                    if response.status == 202:
                        self._tally.acknowledge(number, (await response.json())["event_id"])
                        return
            attempt += 1
            await asyncio.sleep(self._rng.uniform(0.1, 0.5))

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None:
            timeout = aiohttp.ClientTimeout(total=RESPONSE_TIMEOUT_SECONDS)
            self._client = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=200))
        return self._client
