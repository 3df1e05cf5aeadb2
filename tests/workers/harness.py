"""Worker in the process of the test, on a real store, with the sandbox as platform and as target of actions."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import msgspec
import pytest
from arq.worker import func
from structlog.contextvars import merge_contextvars
from structlog.testing import CapturingLogger, capture_logs

from service.actions import Action, load_actions
from service.config.throttles import ThrottleConfig
from service.destinations.http.request import format_key
from service.destinations.registry import CONFIG_TYPE as DESTINATION_TYPE
from service.destinations.registry import Destinations, DestinationSetup
from service.events import EVENT_VERSION, ChangeType, Event, RecordRef, new_event_id
from service.http_client import HttpClient
from service.platforms.kind import ConnectorDependencies
from service.platforms.pack_cloud.config import PackCloudConfig
from service.platforms.pack_cloud.connector import PackCloud
from service.rules import document_version, read_rule_files, write_document
from service.sandbox.server import SandboxHandle, running_sandbox
from service.secrets import SecretRef
from service.settings import Settings
from service.store import Shards, Store, open_store
from service.store.queue.ingest import EFFECTS_FUNCTION, LANE_FUNCTION
from service.throttles import shared_throttle, throttles
from service.throttles.job_slots import JobSlots
from service.throttles.throttles import SharedThrottles
from tests.waiting import PATIENCE_SECONDS, until
from workers.processing.action_calls import EffectDependencies
from workers.processing.dependencies import WorkerDependencies
from workers.processing.effect_policy import EffectPolicy
from workers.processing.exchanges import exchange_limits
from workers.processing.process import finish_effects, process_lane
from workers.processing.stale_reads import StaleReadPolicy
from workers.processing.undecided_events import UndecidedEvents
from workers.recovery import run_recovery
from workers.rulebook_watcher import RulebookWatcher
from workers.worker import LeaseWorker

RECOVERY_SECONDS = 0.05
"""Delay between two passes that free parked jobs: no test waits for a pass."""
NO_SECRETS: Mapping[str, str] = {}
SINK_RULE = """
- id: short-receipt
  type: purchase_order
  when: {any_of: lines, where: {field: quantity_received, op: lt, ref: quantity_ordered}}
  actions:
    - {id: claim, do: http, url: "SINK/claims", body: {order: "{id}"}}
"""


def sent_key(key: str) -> str:
    """Return the idempotency key that a target receives by default."""
    return format_key(key, "uuid")


class WorkerHarness:
    """Dependencies of one worker on the store and sandbox of a test. `lines` are the log lines of its runs."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        sandbox: SandboxHandle,
        dependencies: WorkerDependencies,
        setup: DestinationSetup,
    ) -> None:
        self.settings = settings
        self.store = store
        self.sandbox = sandbox
        self.dependencies = dependencies
        self.lines: list[dict[str, Any]] = []
        self._setup = setup

    def declare(self, environ: Mapping[str, str] = NO_SECRETS, /, **configs: Mapping[str, Any]) -> None:
        """Replace the destinations. Their kind is http by default. `environ` has their secrets."""
        types = {
            name: msgspec.convert({"kind": "http", **config}, DESTINATION_TYPE) for name, config in configs.items()
        }
        resources = cast("dict[str, Any]", self.dependencies.effects.resources)
        resources["destinations"] = made = Destinations(types, msgspec.structs.replace(self._setup, environ=environ))
        self.dependencies = msgspec.structs.replace(self.dependencies, policy=EffectPolicy(made.unordered()))

    async def publish(self, rules: str) -> str:
        """Publish rules. `SINK` is replaced with the URL of the sandbox's sink."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "rules.yaml"
            path.write_text(rules.replace("SINK", f"{self.sandbox.url}/_sandbox/sink"))
            (file,) = read_rule_files([path], list(self.dependencies.effects.actions.values()))
        document = write_document(file.rules)
        assert await self.store.rulebook.publish(document_version(document), document, "test", "", await self.version())
        await self.dependencies.rules.refresh()
        return document_version(document)

    async def version(self) -> str | None:
        return await self.store.rulebook.version()

    async def send(self, record_id: str = "po-1", change: ChangeType = "updated", **fields: Any) -> str:
        """Ingest one event and return its id."""
        record = RecordRef("pack", fields.pop("kind", "purchase_order"), record_id)
        name, identified, at = f"{record.kind}.{change}", fields.pop("identified", True), fields.pop("at", None)
        body: bytes = fields.pop("body", b"{}")
        event = Event(
            EVENT_VERSION, new_event_id(), "shop", name, change, record, at, {}, None, body, identified=identified
        )
        await self.store.ingest(event, event.id, 60_000)
        return event.id

    def worker(self, name: str = "w1", **options: Any) -> LeaseWorker:
        functions = [func(process_lane, name=LANE_FUNCTION), func(finish_effects, name=EFFECTS_FUNCTION)]
        return LeaseWorker(
            functions,
            Shards([self.store]),
            name,
            handle_signals=False,
            ctx={"dependencies": self.dependencies},
            **options,
        )

    async def run_worker(self) -> None:
        """Run a worker until the queue is empty, and collect its log lines."""
        worker = self.worker(burst=True)
        recovery = asyncio.create_task(run_recovery(Shards([self.store]), dict, RECOVERY_SECONDS))
        with capture_logs(processors=[merge_contextvars]) as lines:
            await asyncio.wait_for(worker.async_run(), PATIENCE_SECONDS)
            await worker.close()
        recovery.cancel()
        self.lines += lines  # type: ignore[arg-type]

    async def run_until_idle(self, worker: LeaseWorker) -> None:
        """Run a worker until no job is due and none is running. Jobs that are due later stay in the queue."""

        async def is_idle() -> bool:
            stats = await self.store.sample()
            # A claimed job is not due, and is no task of the worker before the response of the store arrives.
            return not (stats.due or worker.claims.claiming or worker.tasks)

        running = asyncio.create_task(worker.async_run())

        await until(is_idle)
        worker.handle_sig_wait_for_completion(15)  # type: ignore[arg-type]
        await asyncio.wait_for(running, PATIENCE_SECONDS)
        await worker.close()

    def log_lines(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]

    async def stored_event(self, event_id: str) -> dict[str, Any]:
        stored = await self.store.events.get(event_id)
        assert stored is not None
        return stored

    def sink_bodies(self) -> Sequence[Any]:
        return [json.loads(request.body) for request in self.sandbox.sandbox.sink.requests]

    def idempotency_keys(self) -> list[str]:
        return [request.headers["idempotency-key"] for request in self.sandbox.sandbox.sink.requests]


def shorten_circuits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let circuits open for milliseconds, for tests in which they delay other steps."""
    make = shared_throttle.SharedThrottle.__init__

    def make_short(self: Any, context: Any, name: str, key: str, config: ThrottleConfig) -> None:
        make(self, context, name, key, msgspec.structs.replace(config, open_seconds=0.02))

    monkeypatch.setattr(shared_throttle.SharedThrottle, "__init__", make_short)
    monkeypatch.setattr(throttles, "REFRESH_SECONDS", 0.02)
    monkeypatch.setattr(shared_throttle, "JITTER_SECONDS", 0.01)


@contextlib.asynccontextmanager
async def open_harness(settings: Settings, *more: type[Action]) -> AsyncGenerator[WorkerHarness, None]:
    """Open the dependencies of a worker. `more` are actions of the test in addition to the installed ones."""
    store = await open_store(settings)
    actions = [*load_actions(), *more]
    async with running_sandbox() as sandbox, HttpClient(settings, {"127.0.0.1"}) as outbound:
        config = PackCloudConfig(
            organization_id="org_1", token=SecretRef(env="TOKEN"), base_url=sandbox.base_url("pack_cloud")
        )
        pack = PackCloud("pack", config, ConnectorDependencies(outbound, {"TOKEN": sandbox.token}))
        slots = JobSlots(settings.concurrency)
        throttles = SharedThrottles(store.limits, store.tokens, settings.fetch_timeout_seconds, job_slots=slots)
        setup = DestinationSetup(
            http_client=outbound,
            environ={},
            throttles=throttles,
        )
        destinations = Destinations({}, setup)
        resources: dict[str, Any] = {
            "outbound": outbound,
            "destinations": destinations,
            "log": CapturingLogger(),
            "action_timeout_seconds": settings.action_timeout_seconds,
            "dedupe_hours": settings.dedupe_hours,
            "emit_depth_max": settings.emit_depth_max,
            "platforms": {"pack": pack},
        }
        by_tag = {str(action.__struct_config__.tag): action for action in actions}
        limits = exchange_limits(settings)
        shards, seconds = Shards([store]), settings.action_timeout_seconds
        effects = EffectDependencies(store, by_tag, resources, seconds, limits, shards)
        stale_reads = StaleReadPolicy(settings, {}, store.futile_waits)
        rules = RulebookWatcher(store.rulebook, actions, settings.rulebook_refresh_seconds)
        yield WorkerHarness(
            settings,
            store,
            sandbox,
            WorkerDependencies(
                settings,
                store,
                {"pack": pack},
                rules,
                effects,
                Shards([store]),
                stale_reads,
                throttles,
                UndecidedEvents(100_000),
            ),
            setup,
        )
    await store.close()
