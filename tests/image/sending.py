"""A sender for the live tests, and what came of its deliveries."""

import asyncio
import hashlib
import hmac
import itertools
import json
import time
from collections import Counter
from collections.abc import Callable

import aiohttp

from service.sandbox.server import SandboxHandle

SECRET = "s3cret"
OPERATOR = "of-an-operator"
OPERATOR_DIGEST = hashlib.sha256(OPERATOR.encode()).hexdigest()


def payload(record_id: str, event_id: str) -> str:
    """What pack.cloud sends when a purchase order was updated."""
    return json.dumps({"event_code": "purchase_order.updated", "id": event_id, "data": {"id": record_id}})


async def post(session: aiohttp.ClientSession, url: str, record_id: str) -> int:
    """Send one signed delivery; give the status of its answer."""
    body = payload(record_id, f"evt-{record_id}").encode()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-Signature": signature, "Content-Type": "application/json"}
    async with session.post(f"{url}/webhooks/pack-orders", data=body, headers=headers) as response:
        await response.read()
        return response.status


async def post_steadily(url: str, per_second: int, ended: asyncio.Event) -> tuple[dict[str, int], list[float]]:
    """Send a delivery of a new order at this rate until `ended` is set.

    Gives each one's answer, 0 where there was none, and how many seconds they took, sorted.
    """
    answers: dict[str, int] = {}
    took: list[float] = []

    async def send(session: aiohttp.ClientSession, record_id: str) -> None:
        began = time.monotonic()
        try:
            answers[record_id] = await post(session, url, record_id)
        except aiohttp.ClientError:
            answers[record_id] = 0
        took.append(time.monotonic() - began)

    each_its_own = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=each_its_own) as session, asyncio.TaskGroup() as group:
        for number in itertools.count():
            group.create_task(send(session, f"po-load-{number}"))
            await asyncio.sleep(1 / per_second)
            if ended.is_set():
                break
    return answers, sorted(took)


def acted(sandbox: SandboxHandle) -> Counter[str]:
    """Count the actions by the order they were for."""
    return Counter(json.loads(request.body)["order"] for request in sandbox.sandbox.sink.requests)


async def until(done: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for it."""
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:  # noqa: ASYNC110 - what is waited for is in another process
        await asyncio.sleep(0.05)
    assert done()
