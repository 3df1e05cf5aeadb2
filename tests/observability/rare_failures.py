"""Process with failures that no configuration can cause: unexpected exceptions in our code and in libraries.

Run as `python -m tests.observability.rare_failures <store url>`. Writes log lines to standard output, and ends with a
crash. The failures are in extension points: the parser of a source, a platform, an action.
"""

import asyncio
import contextlib
import gc
import hashlib
import logging
import sys
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from msgspec import structs

from service.actions import Action, ActionContext
from service.background import run_forever
from service.clock_difference import ClockCheck
from service.config import AdminConfig, AdminToken, Config
from service.config.loading import OutboundConfig
from service.config.throttles import ThrottleConfig
from service.envelopes.envelope import ParsedDelivery
from service.errors import Deferred, TransientError
from service.events import Delivery, Fact, RecordRef
from service.ingestion.sources import Source
from service.ingress.admin import admin_router
from service.ingress.app import build_admin_app, build_app
from service.ingress.server import Listener
from service.ingress.store_monitor import StoreMonitor
from service.listening_socket import bind
from service.log import configure
from service.log_writer import BUFFER_BYTES_MAX, BufferedLineWriter
from service.management.audit_log import Actor, log_admin_change
from service.management.erasure import COUNTS
from service.management.installation import Installation
from service.open_files import watch_open_files
from service.platforms.base import CallContext, FetchedRecord
from service.records import RECORDS
from service.secrets import SecretRef
from service.settings import Settings, load_settings
from service.signatures import Verified
from service.store import (
    IngestRequest,
    IngestResult,
    QuarantinedDelivery,
    QueueStats,
    Shards,
    Store,
    open_shards,
    open_store,
)
from service.throttles.throttles import SharedThrottles
from tests.observability.material import PERSONAL
from tests.open_file_limit import no_free_files
from tests.workers.harness import SINK_RULE, WorkerHarness, open_harness

LINE_BYTES_MAX = 1_024


class BrokenPlatform:
    """Platform that raises unexpected exceptions with data in their texts."""

    account = "pack"

    def read(self, delivery: Delivery) -> tuple[Fact, ...]:
        raise ValueError(f"cannot read {delivery.body!r}")

    async def resolve(self, ref: RecordRef, context: CallContext) -> tuple[RecordRef, ...]:
        raise ValueError(f"cannot follow {ref.id!r} for {context.event_id!r}")

    async def fetch(self, ref: RecordRef, context: CallContext) -> FetchedRecord:
        raise ValueError(f"invalid customer {PERSONAL['name']!r}, {PERSONAL['phone']} {ref.id!r} {context.event_id!r}")


class BrokenAction(Action, frozen=True, kw_only=True, tag="http"):
    """Replacement of the `http` action that raises an unexpected exception."""

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        raise ValueError(f"cannot send to {PERSONAL['email']!r} {inputs!r} {context.rule!r}")


class AcceptingVerifier:
    """Verifier that accepts every delivery."""

    def verify(self, delivery: Delivery) -> Verified:
        return Verified(None, delivery.body)


def parse_odd(delivery: Delivery) -> ParsedDelivery:
    """Return two records and an ignored fact, or raise an unexpected exception."""
    if delivery.body == b"{}":
        raise ValueError(f"a field of {PERSONAL['street']!r} is missing")
    orders = [RecordRef("pack", "purchase_order", f"odd-{number}") for number in range(2)]
    facts = [*(Fact("order.updated", record.id, "updated", record) for record in orders), Fact("ping", "odd-ping")]
    return ParsedDelivery(tuple(facts), (delivery.body,) * len(facts))


class UnreadyStore:
    """Store with a check that raises an unexpected exception."""

    def __init__(self, events: Any) -> None:
        self._events = events

    async def ingest_all(self, requests: Sequence[IngestRequest], /) -> list[IngestResult]:
        return await self._events.ingest_all(requests)

    async def check(self) -> None:
        raise KeyError(PERSONAL["email"])

    async def samples(self) -> Sequence[QueueStats | None]:
        return await self._events.samples()

    async def open_circuits(self) -> dict[str, float]:
        return await self._events.open_circuits()

    async def record_untrusted_proxy(self, peer: str, /) -> None:
        await self._events.record_untrusted_proxy(peer)

    async def quarantine_deliveries(self, deliveries: Sequence[QuarantinedDelivery], /) -> int:
        return await self._events.quarantine_deliveries(deliveries)


async def break_worker(settings: Settings) -> None:
    """Run an attempt that fails in the platform, one that fails in an action, and a call that is answered 429."""
    configure("workers", line_bytes_max=LINE_BYTES_MAX)
    async with open_harness(settings) as harness:
        await harness.publish(SINK_RULE)
        effects = structs.replace(harness.dependencies.effects, actions={"http": BrokenAction})
        for tools in (
            structs.replace(harness.dependencies, platforms={"pack": BrokenPlatform()}),
            structs.replace(harness.dependencies, effects=effects),
        ):
            harness.dependencies = tools
            await harness.send()
            await run(harness)
        throttle = SharedThrottles(harness.store.limits, harness.store.tokens, 1).destination("erp", ThrottleConfig())
        with contextlib.suppress(Deferred):
            async with throttle.slot(repeatable=True, target="/"):
                raise TransientError("target_unavailable", "answered 429", http_status=429, retry_after_seconds=1e6)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(run_forever("sweep", break_sweep), 0.1)


async def break_sweep() -> None:
    """Raise an unexpected exception in a background task."""
    raise LookupError(f"no {PERSONAL['name']!r}")


async def run(harness: WorkerHarness) -> None:
    """Run until nothing is queued."""
    worker = harness.worker(burst=True)
    await asyncio.wait_for(worker.async_run(), 20)
    await worker.close()


async def break_ingress(settings: Settings) -> None:
    """Send a delivery that fails in the parser, one with several facts, and a failing health check."""
    configure("service", line_bytes_max=LINE_BYTES_MAX)
    events = await open_store(settings)
    source = Source(
        name="odd",
        platform="pack",
        window_ms=60_000,
        failure_status=401,
        content_types=frozenset({"application/json"}),
        distinct=False,
        verifier=AcceptingVerifier(),
        parser=parse_odd,
        entropy=bytes,
    )
    with bind("127.0.0.1", 0, "WAYBILL_PORT") as port:
        listener = Listener(build_app(settings, {"odd": source}, UnreadyStore(events)), port, settings)
        await listener.start()
        url = f"http://127.0.0.1:{listener.port}"
        async with aiohttp.ClientSession() as client:
            for path, body in (("/webhooks/odd", b"{}"), ("/webhooks/odd", b'{"two": 2}')):
                await client.post(url + path, data=body, headers={"content-type": "application/json"})
            await client.get(f"{url}/readyz")
        await listener.stop()
    await events.close()


async def cause_denied_admin_calls(settings: Settings) -> None:
    """Call the admin API with an unknown token, and with an insufficient role."""
    token = PERSONAL["secret"]
    viewer_token = AdminToken(name="viewer_token", role="viewer", sha256=SecretRef(env="LOOKER"))
    config = Config(
        path=Path("waybill.yaml"), record_types=RECORDS, platforms={}, records={},
        sources={}, rules=(), outbound=OutboundConfig(),
        admin=AdminConfig(tokens=(viewer_token,)), warnings=(),
    )  # fmt: skip
    monitor = StoreMonitor(settings, open_shards)
    installation = Installation(
        open_store=lambda: monitor.opened, config=lambda: config, platforms=dict, sources=dict, actions=tuple,
        records=dict,
    )  # fmt: skip
    router = admin_router(installation, {"LOOKER": hashlib.sha256(token.encode()).hexdigest()})
    events = await open_store(settings)
    with bind("127.0.0.1", 0, "WAYBILL_ADMIN_PORT") as port:
        listener = Listener(build_admin_app(settings, events, admin=router), port, settings)
        await listener.start()
        async with aiohttp.ClientSession() as client:
            for token_sent in ("guessed", token):
                url = f"http://127.0.0.1:{listener.port}/api/v1/dead-letters/{PERSONAL['email']}/discard"
                await client.post(url, json={}, headers={"authorization": f"Bearer {token_sent}"})
        await listener.stop()
    await events.close()


def log_admin_changes() -> None:
    """Log the lines of the audit log."""
    operator = Actor("ops", "operator")
    log_admin_change(operator, "rule.updated", "short-receipt", rulebook="0123456789abcdef")
    log_admin_change(operator, "event.replayed", "0" * 32, moved_to="lane", rerun_done=False)
    log_admin_change(operator, "platform.write_failed", "pack:rule.create", error_kind="timeout", http_status=None)
    erased = dict.fromkeys(COUNTS, 0)
    log_admin_change(operator, "customer.erased", "pack:customer:cu-1", **erased)


async def cause_library_lines() -> None:
    """Cause log lines of libraries and of Python itself."""
    logging.getLogger("aiohttp.client").warning("cannot reach %s", f"https://user:{PERSONAL['secret']}@example.org")
    warnings.warn("an old way of doing things", DeprecationWarning, stacklevel=1)
    for task in [asyncio.ensure_future(break_sweep())]:
        await asyncio.wait((task,))
    del task
    gc.collect()  # reports that the exception of the task was never retrieved
    thread = threading.Thread(target=lambda: int(PERSONAL["phone"] + "x"))
    thread.start()
    thread.join()


def drop_log_line() -> None:
    """Log a line that is larger than the buffer of log lines, and one that fits."""
    writer = configure("workers", line_bytes_max=2 * BUFFER_BYTES_MAX, buffered=True)
    logging.getLogger("aiohttp.client").warning("x" * BUFFER_BYTES_MAX)
    logging.getLogger("aiohttp.client").warning("the line before it is lost")
    assert isinstance(writer, BufferedLineWriter)
    writer.flush()


class AheadStore(Store):
    """Store with a clock that is ahead."""

    async def clock_difference_seconds(self) -> float:
        return 5.0


async def exhaust_files() -> None:
    """Check the open files while none can be opened."""
    with no_free_files(), contextlib.suppress(TimeoutError):
        await asyncio.wait_for(watch_open_files(), 0.1)


async def main(url: str) -> None:
    environ = {
        "WAYBILL_REDIS_URL": url,
        "WAYBILL_KEY_PREFIX": "odd:",
        "WAYBILL_HOST": "127.0.0.1",
    }
    settings = load_settings(environ | {"WAYBILL_BACKOFF_BASE_SECONDS": "0.02", "WAYBILL_ATTEMPTS_MAX": "2"})
    await break_worker(settings)
    await break_ingress(settings)
    await cause_denied_admin_calls(settings)
    log_admin_changes()
    await exhaust_files()
    await ClockCheck().measure(Shards([AheadStore(settings)]))
    await cause_library_lines()
    drop_log_line()


if __name__ == "__main__":
    configure("workers")
    uvloop.run(main(sys.argv[1]))
    raise RuntimeError(f"the end of {PERSONAL['secret']!r}")
