"""`waybill worker`: joins the worker's parts and runs them until SIGTERM."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncGenerator, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click
import structlog
import uvloop
from arq.worker import func

from service.actions import load_actions
from service.config import Config
from service.config.startup import extend_retention_to_dedupe_windows, log_config_warnings
from service.errors import StoreNotDurable, StoreUnavailable
from service.garbage import tune_garbage_collector
from service.http_client import HttpClient
from service.log import configure
from service.platforms.api.shared_throttle import SharedThrottles
from service.platforms.loading import load_config
from service.platforms.registry import build_platforms
from service.settings import Settings, load_settings
from service.store import Store
from service.store.queue.ingest import EFFECTS_FUNCTION, LANE_FUNCTION
from service.store.shards import shards_with
from workers.background import run_forever
from workers.health import health_server
from workers.housekeeping import run_sweeps, send_heartbeats
from workers.polling.changes import PollSource, polls_of
from workers.polling.poller import poll_all, shared_store
from workers.processing.dependencies import WorkerDependencies
from workers.processing.effects import EffectDependencies
from workers.processing.process import finish_effects, process_lane
from workers.processing.stale_reads import StaleReadPolicy
from workers.rulebook_watcher import RulebookWatcher
from workers.worker import LeaseWorker


@click.command()
@click.option("--burst", is_flag=True, help="End once nothing is due and nothing runs.")
def worker(*, burst: bool) -> None:
    """Run jobs: fetch, decide, act. SIGTERM drains."""
    configure("workers")  # so that a wrong setting is told as a line, too
    settings = load_settings(os.environ)
    configure("workers", settings.log_level, settings.log_line_bytes_max)
    config = load_config(Path(settings.config), os.environ)
    log_config_warnings(config)
    uvloop.run(run_worker(settings, config, os.environ, burst=burst))


async def run_worker(settings: Settings, config: Config, environ: Mapping[str, str], *, burst: bool = False) -> None:
    """Run one worker until it is told to stop.

    Raises:
        ConfigError: the configuration cannot be joined, or WAYBILL_ADMIN_PORT cannot be had.
    """
    # Never given twice: leases are fenced by it, and a pod starts again under its old name and pid.
    name = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"
    log = structlog.get_logger()
    async with open_dependencies(settings, config, environ) as tools:
        functions = [
            func(process_lane, name=LANE_FUNCTION, keep_result=0),  # pyright: ignore[reportArgumentType] - arq types ctx as dict
            func(finish_effects, name=EFFECTS_FUNCTION, keep_result=0),  # pyright: ignore[reportArgumentType] - arq types ctx as dict
        ]
        # A burst ends once nothing is due, which of a poll is never so.
        polls: Mapping[str, PollSource] = {} if burst else polls_of(config, settings)
        worker = LeaseWorker(functions, tools.store, name, burst=burst, ctx={"tools": tools})
        async with (
            health_server(settings, tools.store, lambda: worker.stopping) as admin_port,
            background_task(run_forever("rules", tools.rules.run)),
            background_task(run_forever("beat", partial(send_heartbeats, worker, settings.sample_interval_seconds))),
            background_task(run_forever("sweep", partial(run_sweeps, worker, settings.sweep_interval_seconds))),
            background_task(poll_all(settings, tools.intake, tools.platforms, polls)),
        ):
            limits = {"concurrency": settings.concurrency, "lease_seconds": settings.lease_seconds}
            log.info("process.started", worker=name, admin_port=admin_port, **limits)
            if await wait_until_ready(worker, tools.rules.wait_for_first()):
                # Once the rulebook is there: what is joined by now lives as long as the process.
                tune_garbage_collector()
                await worker.async_run()
        await worker.close()
        with contextlib.suppress(StoreUnavailable, StoreNotDurable):
            await tools.store.sampler.remove_worker(name)
        log.info("process.stopped", worker=name, jobs=worker.jobs_run, leases_lost=worker.leases_lost)


async def wait_until_ready(worker: LeaseWorker, first_rulebook: Coroutine[Any, Any, None]) -> bool:
    """Wait for the first rulebook; False if the worker was told to stop before there was one."""
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
    """Join what processing takes: store, platforms, rules, actions.

    Raises:
        ConfigError: as the parts.
    """
    actions = load_actions()
    settings = extend_retention_to_dedupe_windows(settings, config)
    store = Store(settings)
    intake = shards_with(store)
    async with HttpClient(settings, config.outbound.allow_private_hosts) as outbound:
        home = shared_store(intake)
        throttles = SharedThrottles(home.limits, home.tokens, settings.fetch_timeout_seconds)
        platforms = build_platforms(config.platforms, environ, outbound, throttles)
        resources = {
            "outbound": outbound,
            "log": structlog.get_logger(),
            "environ": environ,
            "action_timeout_seconds": settings.action_timeout_seconds,
            "clock": time.time,
            "dedupe_hours": settings.dedupe_hours,
            "emit_depth_max": settings.emit_depth_max,
            "platforms": platforms,
        }
        by_name = {action.__struct_config__.tag: action for action in actions}
        effects = EffectDependencies(
            store,
            {str(tag): action for tag, action in by_name.items()},
            resources,
            settings.action_timeout_seconds,
            intake,
        )
        rules = RulebookWatcher(store.rulebook, actions, settings.rulebook_refresh_seconds)
        settle = {name: account.fetch_delay_seconds for name, account in config.platforms.items()}
        yield WorkerDependencies(settings, store, platforms, rules, effects, intake, StaleReadPolicy(settings, settle))
    await intake.close()


@contextlib.asynccontextmanager
async def background_task(work_: Coroutine[Any, Any, None]) -> AsyncGenerator[None]:
    """Run something beside the block, and end it with the block."""
    task = asyncio.create_task(work_)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
