"""Posting signed deliveries, one or many, at a rate: what a sender does, for trying rules and measuring."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping

from msgspec import Struct

from service.cli.sample_deliveries import SampleDelivery
from service.config import SourceConfig
from service.errors import TransientError
from service.http_client import HttpClient, HttpResponse
from service.signatures import Unverified

IN_FLIGHT_MAX = 32
SECONDS_MAX = 30.0
ANSWER_BYTES_MAX = 1_048_576


class Sender(Struct, frozen=True):
    """Where a source's deliveries go, and with which secret they are signed."""

    source: str
    config: SourceConfig
    secret: str
    url: str
    content_type: str

    def sign(self, made: SampleDelivery, event_id: str, now: float) -> tuple[str, dict[str, str]]:
        """Give the whole address and the headers of one delivery."""
        scheme = self.config.verify or Unverified()
        signed = scheme.sign(made.body, self.secret, event_id, int(now))
        headers = {"content-type": self.content_type, **made.headers, **signed}
        path = scheme.path(self.secret) if self.secret else ""
        return f"{self.url.rstrip('/')}/webhooks/{self.source}{path}", headers


async def send_all(
    sender: Sender,
    outbound: HttpClient,
    make: Callable[[], tuple[str, SampleDelivery]],
    count: int,
    per_second: float | None,
) -> AsyncIterator[HttpResponse | TransientError]:
    """Send `count` deliveries and give their answers as they come; `make` makes each with its event's id."""
    slots = asyncio.Semaphore(IN_FLIGHT_MAX)
    began = time.monotonic()

    async def one(place: int) -> HttpResponse | TransientError:
        if per_second:
            # Each by its own moment, so that slow answers do not lower the rate.
            await asyncio.sleep(began + place / per_second - time.monotonic())
        async with slots:
            event_id, made = make()
            url, headers = sender.sign(made, event_id, time.time())
            return await _post(outbound, url, headers, made.body)

    window = IN_FLIGHT_MAX * 2
    waiting: list[asyncio.Task[HttpResponse | TransientError]] = []
    for place in range(count):
        waiting.append(asyncio.get_running_loop().create_task(one(place)))
        if len(waiting) >= window:
            yield await waiting.pop(0)
    for task in waiting:
        yield await task


async def _post(
    outbound: HttpClient, url: str, headers: Mapping[str, str], body: bytes
) -> HttpResponse | TransientError:
    try:
        return await outbound.request(
            "POST", url, headers=headers, body=body, seconds_max=SECONDS_MAX, bytes_max=ANSWER_BYTES_MAX, guarded=False
        )
    except TransientError as error:
        return error
