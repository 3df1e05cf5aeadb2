"""Polls: list the records of a platform periodically, and ingest the changes since the last pass as events.

poll_source(…)                        until cancelled: acquire the lease, run one pass
polls.claim(…)                    one worker at a time; the token of the lease fences every write
PollPass.run()                    `poll_pass`
"""

import asyncio
import os
from collections.abc import Mapping
from functools import partial

import structlog

from service.background import TaskFailures, run_forever
from service.errors import LeaseLost
from service.metrics.families import POLLS
from service.platforms.base import Platform
from service.settings import Settings
from service.store import Shards
from service.store.platforms.polls import PollLease
from workers.polling.changes import PollSource
from workers.polling.poll_pass import PollDependencies, PollPass

IDLE_SECONDS_MAX = 5.0
"""Interval of checks for the lease by a worker that does not poll."""


async def poll_all(
    settings: Settings, intake: Shards, platforms: Mapping[str, Platform], polls: Mapping[str, PollSource]
) -> None:
    """Run all configured polls until cancelled."""
    async with asyncio.TaskGroup() as group:
        for poll in polls.values():
            dependencies = PollDependencies(settings, intake, platforms[poll.account])
            group.create_task(run_forever(f"poll {poll.source}", partial(poll_source, dependencies, poll)))


async def poll_source(dependencies: PollDependencies, poll: PollSource) -> None:
    """Poll a source until cancelled, whenever this worker acquires its lease."""
    log, failures = structlog.get_logger(), TaskFailures("poll")
    while True:
        # A new token per lease fences late writes of an earlier lease of this worker.
        token = os.urandom(8).hex()
        seconds = IDLE_SECONDS_MAX
        try:
            with failures.handled():
                polls, lease_seconds = dependencies.intake.home.polls, dependencies.settings.lease_seconds
                lease = await polls.claim(poll.source, token, lease_seconds)
                if isinstance(lease, PollLease):
                    await PollPass(dependencies, poll, token, lease).run()
                    await dependencies.intake.flush_arrivals()
                    continue
                seconds = min(lease, IDLE_SECONDS_MAX)
        except LeaseLost:
            POLLS.inc((poll.source, "lost"))
            log.warning("poll.lease_lost", source_name=poll.source)
            seconds = 0.0
        await asyncio.sleep(seconds)
