"""Command `waybill worker`: builds the dependencies of a worker and runs it until SIGTERM."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncGenerator, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click
import structlog
import uvloop

from service.actions import load_actions
from service.config import Config
from service.config.startup import extend_retention_to_dedupe_windows, log_config_warnings
from service.configuration import load_config
from service.destinations.registry import Destinations, DestinationSetup
from service.errors import StoreNotDurable, StoreUnavailable
from service.garbage import tune_garbage_collector
from service.http_client import HttpClient
from service.log import configure
from service.metrics.event_loop import measure_event_loop_lag
from service.open_files import watch_open_files
from service.platforms.registry import build_platforms
from service.settings import Settings, load_settings
from service.store import Store
from service.store.shards import shards_with
from service.throttles.throttles import SharedThrottles
from workers.background import run_forever
from workers.functions import load_functions
from workers.health import health_server
from workers.housekeeping import run_sweeps, send_heartbeats
from workers.polling.changes import PollSource, polls_of
from workers.polling.poller import poll_all, shared_store
from workers.processing.action_calls import EffectDependencies
from workers.processing.dependencies import WorkerDependencies
from workers.processing.exchanges import exchange_limits
from workers.processing.stale_reads import StaleReadPolicy
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
    async with open_dependencies(settings, config, environ) as dependencies:
        # A burst ends when the queue is empty; polls never end.
        polls: Mapping[str, PollSource] = {} if burst else polls_of(config, settings)
        worker = LeaseWorker(
            load_functions(), dependencies.store, name, burst=burst, ctx={"dependencies": dependencies}
        )
        async with (
            health_server(settings, dependencies.store, lambda: worker.stopping) as admin_port,
            background_task(run_forever("event_loop_lag", measure_event_loop_lag)),
            background_task(run_forever("open_files", watch_open_files)),
            background_task(run_forever("rulebook", dependencies.rules.run)),
            background_task(
                run_forever("heartbeat", partial(send_heartbeats, worker, settings.sample_interval_seconds))
            ),
            background_task(run_forever("sweep", partial(run_sweeps, worker, settings.sweep_interval_seconds))),
            background_task(poll_all(settings, dependencies.intake, dependencies.platforms, polls)),
        ):
            limits = {"concurrency": settings.concurrency, "lease_seconds": settings.lease_seconds}
            log.info("process.started", worker=name, admin_port=admin_port, **limits)
            if await wait_until_ready(worker, dependencies.rules.wait_for_first()):
                # After the first rulebook: all objects of now live as long as the process.
                tune_garbage_collector()
                await worker.async_run()
        await worker.close()
        with contextlib.suppress(StoreUnavailable, StoreNotDurable):
            await dependencies.store.queue_stats.remove_worker(name)
        jobs = worker.jobs_complete + worker.jobs_retried + worker.jobs_failed
        log.info("process.stopped", worker=name, jobs=jobs, leases_lost=worker.leases_lost)


async def wait_until_ready(worker: LeaseWorker, first_rulebook: Coroutine[Any, Any, None]) -> bool:
    """Wait for the first rulebook. Return False if the worker stops before."""
    waiting = asyncio.ensure_future(first_rulebook)
    while not waiting.done() and not worker.stopping:
        await asyncio.wait((waiting,), timeout=0.1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    return not worker.stopping


@contextlib.asynccontextmanager
async def open_dependencies(
    settings: Settings, config: Config, environ: Mapping[str, str]
) -> AsyncGenerator[WorkerDependencies]:
    """Open the dependencies of processing: store, platforms, rulebook, actions.

    Raises:
        ConfigError: the configuration is invalid.
    """
    actions = load_actions()
    settings = extend_retention_to_dedupe_windows(settings, config)
    store = Store(settings, check_installation=True)
    intake = shards_with(store)
    async with HttpClient(settings, config.outbound.allow_private_hosts) as outbound:
        shared = shared_store(intake)
        call_seconds_max = max(settings.fetch_timeout_seconds, settings.action_timeout_seconds)
        throttles = SharedThrottles(shared.limits, shared.tokens, call_seconds_max)
        setup = DestinationSetup(
            http_client=outbound,
            environ=environ,
            throttles=throttles,
            # A target that does not answer uses at most half of a worker.
            worker_in_flight_max=max(settings.concurrency // 2, 1),
        )
        destinations = Destinations(config.destinations, setup)
        platforms = build_platforms(config.platforms, environ, outbound, throttles, config.record_types)
        resources = {
            "outbound": outbound,
            "destinations": destinations,
            "log": structlog.get_logger(),
            "action_timeout_seconds": settings.action_timeout_seconds,
            "dedupe_hours": settings.dedupe_hours,
            "emit_depth_max": settings.emit_depth_max,
            "platforms": platforms,
        }
        by_tag = {action.__struct_config__.tag: action for action in actions}
        effects = EffectDependencies(
            store,
            {str(tag): action for tag, action in by_tag.items()},
            resources,
            settings.action_timeout_seconds,
            exchange_limits(settings),
            intake,
        )
        rules = RulebookWatcher(store.rulebook, actions, settings.rulebook_refresh_seconds, config.record_types)
        fetch_delays = {name: account.fetch_delay_seconds for name, account in config.platforms.items()}
        stale_reads = StaleReadPolicy(settings, fetch_delays, store.futile_waits)
        dependencies = WorkerDependencies(
            settings, store, platforms, rules, effects, intake, stale_reads, destinations.unordered()
        )
        async with background_task(run_forever("recovery", partial(run_recovery, store, shared, throttles.rates))):
            yield dependencies
    await intake.close()


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
