"""Client that signs and posts deliveries, one or many, at a fixed rate."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from msgspec import Struct

from service.config import Config, SourceConfig
from service.errors import TransientError
from service.events import Delivery
from service.http_client import HttpClient, HttpResponse
from service.sending.sample_deliveries import SampleDelivery
from service.signatures import Unverified

IN_FLIGHT_MAX = 32
TIMEOUT_SECONDS = 30.0
RESPONSE_BYTES_MAX = 1_048_576


DeliveryFactory = Callable[[], Awaitable[tuple[str, SampleDelivery]]]
"""Makes a delivery and its event id."""


class Sender(Struct, frozen=True):
    """URL, secret and content type of the deliveries to one source."""

    source: str
    config: SourceConfig
    secret: str
    url: str
    content_type: str

    def sign(self, sample: SampleDelivery, event_id: str, now: float) -> tuple[str, Delivery]:
        """Return the URL of a delivery, and the delivery as it is sent. `now` is in seconds since the epoch."""
        scheme = self.config.verify or Unverified()
        headers = {"content-type": self.content_type, **sample.headers}
        signed = scheme.sign_delivery(Delivery(self.source, headers, sample.body, now), self.secret, event_id)
        path = f"/{signed.path_token}" if signed.path_token else ""
        query = f"?{signed.query}" if signed.query else ""
        return f"{self.url.rstrip('/')}/webhooks/{self.source}{path}{query}", signed


async def send_all(
    sender: Sender,
    outbound: HttpClient,
    make: DeliveryFactory,
    count: int,
    per_second: float | None,
) -> AsyncIterator[HttpResponse | TransientError]:
    """Send `count` deliveries and yield the responses in order. `make` returns a delivery and its event id."""
    slots = asyncio.Semaphore(IN_FLIGHT_MAX)
    started = time.monotonic()

    async def send_one(number: int) -> HttpResponse | TransientError:
        if per_second:
            # Each delivery has its own start time, so that slow responses do not lower the rate.
            await asyncio.sleep(started + number / per_second - time.monotonic())
        async with slots:
            event_id, sample = await make()
            return await post_delivery(sender, outbound, event_id, sample)

    window = IN_FLIGHT_MAX * 2
    tasks: list[asyncio.Task[HttpResponse | TransientError]] = []
    for number in range(count):
        tasks.append(asyncio.get_running_loop().create_task(send_one(number)))
        if len(tasks) >= window:
            yield await tasks.pop(0)
    for task in tasks:
        yield await task


async def post_delivery(
    sender: Sender, outbound: HttpClient, event_id: str, sample: SampleDelivery
) -> HttpResponse | TransientError:
    """Sign and post one delivery."""
    url, delivery = sender.sign(sample, event_id, time.time())
    try:
        return await outbound.request(
            "POST",
            url,
            headers=delivery.headers,
            body=delivery.body,
            seconds_max=TIMEOUT_SECONDS,
            bytes_max=RESPONSE_BYTES_MAX,
            guarded=False,
        )
    except TransientError as error:
        return error


def first_secret(config: Config, source: str, environ: Mapping[str, str]) -> str:
    """Return the secret for the signatures of a source, or an empty string if its scheme has no secret.

    Raises:
        ConfigError: the secret is not set.
    """
    scheme = config.sources[source].verify
    refs = scheme.refs if scheme is not None else ()
    return refs[0].resolve(environ, f"sources.{source}.verify") if refs else ""
