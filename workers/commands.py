"""Command `waybill worker`: builds the dependencies of a worker and runs it until SIGTERM."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import structlog
import uvloop
from msgspec import Struct

from service.actions import Action, load_actions
from service.background import run_forever
from service.config import Config
from service.config.startup import extend_retention_to_dedupe_windows, log_config_warnings
from service.config_reload import ReloadableConfiguration
from service.configuration import load_config
from service.destinations.registry import Destinations, DestinationSetup
from service.errors import StoreNotDurable, StoreUnavailable
from service.garbage import tune_garbage_collector
from service.garbage_collection import collect_old_objects
from service.http_client import HttpClient
from service.log import configure
from service.log_sampling import sample_one_in
from service.metrics.event_loop import measure_event_loop_lag
from service.open_files import watch_open_files
from service.platforms.registry import build_platforms
from service.redaction import log_ids_as_digests
from service.rules.limits import LOOKUP_BYTES_MAX
from service.settings import Settings, load_settings
from service.store import Shards, build_shards
from service.throttles.job_slots import JobSlots
from service.throttles.throttles import SharedThrottles
from service.tracing.startup import send_traces
from workers.functions import load_functions
from workers.health import health_server
from workers.housekeeping import run_sweeps, send_heartbeats
from workers.polling.changes import polls_of
from workers.polling.poller import poll_all
from workers.processing.action_calls import EffectDependencies
from workers.processing.dependencies import WorkerDependencies
from workers.processing.effect_policy import EffectPolicy, operations_of
from workers.processing.exchanges import exchange_limits
from workers.processing.stale_reads import StaleReadPolicy
from workers.processing.undecided_events import UndecidedEvents
from workers.recovery import run_recovery
from workers.rulebook_watcher import RulebookWatcher
from workers.worker import LeaseWorker


@click.command(
    epilog="\b\nExamples:\n  waybill worker\n"
    "  WAYBILL_ADMIN_PORT=8082 waybill worker  # beside waybill serve on one machine"
)
@click.option("--burst", is_flag=True, help="Exit as soon as the queue is empty and no job is running.")
def worker(*, burst: bool) -> None:
    """Run a worker: fetch records, evaluate rules, run actions.

    SIGTERM drains: running attempts finish before the process ends.
    """
    configure("workers")  # before the settings, so that an invalid setting is a log line, too
    settings = load_settings(os.environ)
    uvloop.run(run_worker(settings, prepare(settings), os.environ, burst=burst))


def prepare(settings: Settings) -> Config:
    """Configure the log of a worker, and return its configuration.

    Raises:
        ConfigError: the configuration is invalid.
    """
    configure("workers", settings.log_level, settings.log_line_bytes_max, buffered=True)
    sample_one_in(settings.log_sample_one_in)
    log_ids_as_digests(enabled=settings.log_ids == "digest")
    config = load_config(Path(settings.config), os.environ)
    log_config_warnings(config)
    return config


async def run_worker(settings: Settings, config: Config, environ: Mapping[str, str], *, burst: bool = False) -> None:
    """Run one worker until SIGTERM.

    Raises:
        ConfigError: the configuration or a function of another package is invalid, or the worker cannot listen on
            WAYBILL_ADMIN_PORT.
    """
    # Unique per process, because it fences leases: a restarted pod has the same host name and process id.
    name = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"
    log = structlog.get_logger()
    settings = extend_retention_to_dedupe_windows(settings, config)
    with send_traces("workers", environ, enabled=settings.traces):
        async with open_resources(settings, config) as resources:
            worker = LeaseWorker(load_functions(), resources.shards, name, burst=burst)
            configuration = build_configuration(resources, config, environ, worker.ctx)
            async with configuration.open():
                await run_jobs(worker, resources, configuration)
                await worker.close()
            with contextlib.suppress(StoreUnavailable, StoreNotDurable):
                await asyncio.gather(*(queue.store.queue_stats.remove_worker(name) for queue in worker.queues))
            jobs = worker.jobs_complete + worker.jobs_retried + worker.jobs_failed
            log.info("process.stopped", worker=name, jobs=jobs, leases_lost=worker.leases_lost)


def build_configuration(
    resources: "WorkerResources", config: Config, environ: Mapping[str, str], ctx: dict[Any, Any]
) -> ReloadableConfiguration[WorkerDependencies]:
    """Return the configuration of a worker. Each reload replaces the dependencies in `ctx`."""
    settings = resources.settings

    @contextlib.asynccontextmanager
    async def open_parts(config: Config) -> AsyncGenerator[WorkerDependencies]:
        async with open_dependencies(resources, config, environ) as dependencies:
            await resources.rules.use_records(config.record_types)
            # An attempt keeps the dependencies that it began with.
            ctx["dependencies"] = dependencies
            yield dependencies

    return ReloadableConfiguration(
        config,
        environ,
        open_parts,
        call_seconds_max=settings.attempt_timeout_seconds,
        retention_days_max=settings.decision_retention_days,
    )


async def run_jobs(
    worker: LeaseWorker, resources: "WorkerResources", configuration: ReloadableConfiguration[WorkerDependencies]
) -> None:
    """Run jobs, polls and background tasks until SIGTERM; with `burst`, until the queue is empty."""
    settings, shards, rules = resources.settings, resources.shards, resources.rules

    def rates() -> Mapping[str, float]:
        return configuration.active.throttles.rates()

    async with (
        health_server(settings, shards, lambda: worker.stopping) as admin_port,
        background_task(run_forever("event_loop_lag", measure_event_loop_lag)),
        background_task(run_forever("garbage", collect_old_objects)),
        background_task(run_forever("open_files", watch_open_files)),
        background_task(run_forever("rulebook", rules.run)),
        background_task(run_forever("heartbeat", partial(send_heartbeats, worker, settings.sample_interval_seconds))),
        background_task(run_forever("sweep", partial(run_sweeps, worker, settings.sweep_interval_seconds))),
        background_task(run_forever("recovery", partial(run_recovery, shards, rates))),
        # A burst ends when the queue is empty; polls never end.
        contextlib.nullcontext() if worker.burst else background_task(run_polls(settings, configuration)),
    ):
        limits = {"concurrency": settings.concurrency, "lease_seconds": settings.lease_seconds}
        structlog.get_logger().info("process.started", worker=worker.name, admin_port=admin_port, **limits)
        if await wait_until_ready(worker, rules.wait_for_first()):
            # After the first rulebook: all objects of now live as long as the process.
            tune_garbage_collector()
            await worker.async_run()


async def run_polls(settings: Settings, configuration: ReloadableConfiguration[WorkerDependencies]) -> None:
    """Run the polls of the active configuration until cancelled."""
    while True:
        active, replaced = configuration.active, configuration.replaced
        polls = polls_of(configuration.config, settings)
        async with background_task(poll_all(settings, active.intake, active.platforms, polls)):
            await replaced.wait()


async def wait_until_ready(worker: LeaseWorker, first_rulebook: Coroutine[Any, Any, None]) -> bool:
    """Wait for the first rulebook. Return False if the worker stops before."""
    waiting = asyncio.ensure_future(first_rulebook)
    while not waiting.done() and not worker.stopping:
        await asyncio.wait((waiting,), timeout=0.1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    return not worker.stopping


class WorkerResources(Struct, frozen=True):
    """Resources of a worker that a reload of waybill.yaml keeps."""

    settings: Settings
    shards: Shards
    actions: Sequence[type[Action]]
    rules: RulebookWatcher
    job_slots: JobSlots


@contextlib.asynccontextmanager
async def open_resources(settings: Settings, config: Config) -> AsyncGenerator[WorkerResources]:
    """Open the store, and load the actions and the rulebook. `settings` hold the extended retention."""
    actions = load_actions()
    shards = build_shards(settings, check_installation=True)
    rules = RulebookWatcher(shards.home.rulebook, actions, settings.rulebook_refresh_seconds, config.record_types)
    try:
        yield WorkerResources(settings, shards, actions, rules, JobSlots(settings.concurrency))
    finally:
        await shards.close()


@contextlib.asynccontextmanager
async def open_dependencies(
    resources: WorkerResources, config: Config, environ: Mapping[str, str]
) -> AsyncGenerator[WorkerDependencies]:
    """Open the dependencies of processing that waybill.yaml configures: platforms, destinations and their throttles.

    Raises:
        ConfigError: the configuration is invalid.
    """
    settings, shards, home = resources.settings, resources.shards, resources.shards.home
    async with HttpClient(settings, config.outbound.allow_private_hosts) as outbound:
        call_seconds_max = max(settings.fetch_timeout_seconds, settings.action_timeout_seconds)
        throttles = SharedThrottles(home.limits, home.tokens, call_seconds_max, job_slots=resources.job_slots)
        setup = DestinationSetup(http_client=outbound, environ=environ, throttles=throttles)
        destinations = Destinations(config.destinations, setup)
        platforms = build_platforms(config.platforms, environ, outbound, throttles, config.record_types)
        for_actions = {
            "outbound": outbound,
            "destinations": destinations,
            "log": structlog.get_logger(),
            "action_timeout_seconds": settings.action_timeout_seconds,
            "dedupe_hours": settings.dedupe_hours,
            "emit_depth_max": settings.emit_depth_max,
            "platforms": platforms,
        }
        effects = EffectDependencies(
            home,
            {str(action.__struct_config__.tag): action for action in resources.actions},
            for_actions,
            settings.action_timeout_seconds,
            exchange_limits(settings),
            shards,
        )
        fetch_delays = {name: account.fetch_delay_seconds for name, account in config.platforms.items()}
        stale_reads = StaleReadPolicy(settings, fetch_delays, home.futile_waits)
        yield WorkerDependencies(
            settings,
            home,
            platforms,
            resources.rules,
            effects,
            shards,
            stale_reads,
            throttles,
            UndecidedEvents(settings.fetch_bytes_max + LOOKUP_BYTES_MAX),
            EffectPolicy(destinations.unordered(), operations_of(config.platforms)),
        )


@contextlib.asynccontextmanager
async def background_task(work: Coroutine[Any, Any, None]) -> AsyncGenerator[None]:
    """Run a coroutine during the block, and cancel it at the end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
