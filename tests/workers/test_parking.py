"""Parking: events wait for an account without claims and without log lines, and return gradually."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest
from structlog.testing import capture_logs

from service.http_client import HttpClient
from service.platforms.base import Platform
from service.platforms.kind import ConnectorDependencies
from service.platforms.pack_cloud.config import PackCloudConfig
from service.platforms.pack_cloud.connector import PackCloud
from service.sandbox.faults import Fault
from service.secrets import SecretRef
from service.settings import Settings
from service.store import Shards
from service.throttles.retry_after import RETRY_AFTER_SECONDS_MAX
from service.throttles.throttles import SharedThrottles
from tests.workers.harness import SINK_RULE, WorkerHarness, open_harness
from workers.recovery import free_parked_jobs

pytestmark = pytest.mark.store

EVENTS = 40
PROBE_MS_MAX = 60_000


@pytest.fixture
async def harness(make_settings: Callable[..., Settings]) -> AsyncIterator[WorkerHarness]:
    settings = make_settings(shards=1, attempts_max=2, backoff_base_seconds=0.01, wake_timeout_seconds=0.05)
    async with open_harness(settings) as opened, HttpClient(settings) as outbound:
        config = PackCloudConfig(
            organization_id="o", token=SecretRef(env="T"), base_url=opened.sandbox.base_url("pack_cloud")
        )
        throttle = SharedThrottles(opened.store.limits, opened.store.tokens, 1).account("pack", config)
        dependencies = ConnectorDependencies(outbound, {"T": opened.sandbox.token}, throttle)
        cast("dict[str, Platform]", opened.dependencies.platforms)["pack"] = PackCloud("pack", config, dependencies)
        await opened.publish(SINK_RULE)
        yield opened


async def park_events(harness: WorkerHarness, retry_after: int = 3600) -> list[str]:
    """Send events while the platform requests a pause. Return their ids."""
    ids = [await harness.send(f"po-{number}") for number in range(EVENTS)]
    harness.sandbox.sandbox.faults.add(Fault(match="/pack_cloud", status=429, times=1000, retry_after=retry_after))
    await harness.run_until_idle(harness.worker("parker"))
    harness.sandbox.sandbox.faults.clear()
    return ids


async def close_circuit(harness: WorkerHarness) -> None:
    assert await harness.store.parking.resume("pack")


async def free(harness: WorkerHarness) -> None:
    await free_parked_jobs(Shards([harness.store]), {})


async def due(harness: WorkerHarness) -> int:
    return (await harness.store.sample()).due


async def test_events_of_an_open_circuit_are_parked_without_an_attempt(harness: WorkerHarness) -> None:
    with capture_logs() as lines:
        ids = await park_events(harness)
    assert [line["event"] for line in lines if line["event"].startswith("platform.")] == ["platform.circuit_opened"]
    assert len([line for line in lines if line["event"] == "attempt.finished"]) == EVENTS
    sample = await harness.store.sample()
    assert (sample.parked, sample.due, sample.deferred, sample.pending) == (EVENTS, 0, 0, EVENTS)
    stored = await harness.stored_event(ids[-1])
    assert (stored["attempts"], "next_ms" in stored) == ("0", False)
    claimed = await harness.store.leases("w").claim(10)
    assert claimed.jobs == []


async def test_parked_lane_accepts_events_without_another_job(harness: WorkerHarness) -> None:
    await park_events(harness)
    await harness.send("po-0")
    assert (await harness.store.sample()).parked == EVENTS
    assert await due(harness) == 0


async def test_nothing_is_freed_while_the_circuit_is_open(harness: WorkerHarness) -> None:
    await park_events(harness)
    for _ in range(3):
        await free(harness)
    assert await due(harness) == 0


async def test_one_job_probes_a_half_open_circuit(harness: WorkerHarness) -> None:
    await park_events(harness)
    await harness.store.client.command("HSET", harness.store.keys.named("circuits"), "pack", "1:5:1")
    await free(harness)
    await free(harness)  # of another worker, in the same second
    assert await due(harness) == 1


async def test_failed_probes_keep_the_age_of_parked_jobs(harness: WorkerHarness) -> None:
    client, keys = harness.store.client, harness.store.keys
    await harness.send("po-1")
    harness.sandbox.sandbox.faults.add(Fault(match="/pack_cloud", status=429, times=1000, retry_after=3600))
    await harness.run_until_idle(harness.worker("parker"))
    (job,) = await client.command("ZRANGE", keys.named("parked:pack"), 0, -1)
    await client.command("ZINCRBY", keys.named("parked:pack"), -7_000_000, job)
    for _ in range(2):
        await client.command("HSET", keys.named("circuits"), "pack", "1:5:1")
        await client.command("DEL", keys.named("recovery:pack"))  # a second later
        await free(harness)
        assert (await harness.store.sample()).parked_age_ms >= 7_000_000  # while the probe runs
        await harness.run_until_idle(harness.worker("prober"))
        sample = await harness.store.sample()
        assert (sample.parked, sample.parked_age_ms >= 7_000_000) == (1, True)
    await close_circuit(harness)
    await client.command("DEL", keys.named("recovery:pack"))
    await free(harness)
    assert await harness.store.parking.accounts() == {}
    assert (await harness.store.sample()).parked_age_ms == 0


async def test_age_is_kept_for_a_minute_while_a_probe_runs_the_last_parked_job(harness: WorkerHarness) -> None:
    command, keys = harness.store.client.command, harness.store.keys

    async def probe() -> int:
        """Free one job. Return the time for which the age is kept in ms."""
        await command("DEL", keys.named("recovery:pack"))  # a second later
        assert await harness.store.parking.unpark("pack", "probe", 10) == 1
        return await command("PTTL", keys.named("parked_since:pack"))

    await harness.store.parking.pause("pack")
    await harness.send("po-1")
    await harness.run_until_idle(harness.worker("parker"))
    assert 0 < await probe() <= PROBE_MS_MAX
    await harness.run_until_idle(harness.worker("parker"))  # the probe fails, and its job is parked again
    assert await command("PTTL", keys.named("parked_since:pack")) > PROBE_MS_MAX
    await harness.send("po-2")
    await harness.run_until_idle(harness.worker("parker"))
    assert await probe() > PROBE_MS_MAX  # the other job is parked
    assert 0 < await probe() <= PROBE_MS_MAX
    await command("PEXPIRE", keys.named("parked_since:pack"), 0)  # a minute later, if the probe ends its job
    sample = await harness.store.sample()
    assert (sample.parked, sample.parked_age_ms) == (0, 0)


async def test_closed_circuit_frees_twice_as_many_jobs_each_second(harness: WorkerHarness) -> None:
    await park_events(harness)
    await close_circuit(harness)
    counts: list[int] = []
    for _ in range(3):
        await free(harness)
        await free(harness)
        counts.append(await due(harness))
        recovery = harness.store.keys.named("recovery:pack")
        await harness.store.client.command("HINCRBY", recovery, "at", -1000)
    assert counts == [10, 30, 40]


async def test_limit_of_the_account_bounds_the_freed_jobs(harness: WorkerHarness) -> None:
    await park_events(harness)
    await close_circuit(harness)
    config = PackCloudConfig(organization_id="o", token=SecretRef(env="T"), requests_per_minute_max=120)
    throttles = SharedThrottles(harness.store.limits, harness.store.tokens, 1)
    throttles.account("pack", config)
    await free_parked_jobs(Shards([harness.store]), throttles.rates())
    assert await due(harness) == 2


@pytest.mark.slow
async def test_parked_events_end_after_the_recovery(harness: WorkerHarness) -> None:
    ids = await park_events(harness, retry_after=1)
    await harness.run_worker()
    stored = [await harness.stored_event(event_id) for event_id in ids]
    assert {(each["state"], each["attempts"]) for each in stored} == {("ended", "1")}
    assert await harness.store.client.command("KEYS", "wb:parked*") == []
    closed = harness.log_lines("platform.circuit_closed")
    assert len(closed) == 1
    assert harness.log_lines("platform.circuit_opened") == []


@pytest.mark.slow
async def test_paused_account_is_not_called_until_it_is_resumed(harness: WorkerHarness) -> None:
    await harness.store.parking.pause("pack")
    event_id = await harness.send()
    await harness.run_until_idle(harness.worker("parker"))
    assert harness.log_lines("record.fetched") == []
    assert (await harness.stored_event(event_id))["waiting_for"] == "circuit_open"
    await free(harness)
    assert (await harness.store.sample()).parked == 1
    await close_circuit(harness)
    await harness.run_worker()
    assert (await harness.stored_event(event_id))["state"] == "ended"


async def test_longer_retry_after_than_the_limit_is_capped_and_logged(harness: WorkerHarness) -> None:
    with capture_logs() as lines:
        await park_events(harness, retry_after=80_000)
    (capped,) = [line for line in lines if line["event"] == "platform.retry_after_capped"]
    assert (capped["requested_seconds"], capped["seconds"]) == (80_000, RETRY_AFTER_SECONDS_MAX)
    circuits = await harness.store.limits.open_circuits()
    assert circuits["pack"] <= RETRY_AFTER_SECONDS_MAX


async def test_sweep_frees_a_parked_job_without_an_account(harness: WorkerHarness) -> None:
    await park_events(harness)
    swept = await harness.store.sweeper.sweep("w1")
    assert swept is not None
    assert not swept.counts
    await harness.store.client.command("DEL", harness.store.keys.named("parked:pack"))
    swept = await harness.store.sweeper.sweep("w1")
    assert swept is not None
    assert swept.counts == {"parked_without_account": EVENTS}
    assert await due(harness) == EVENTS


async def test_number_of_parked_jobs_does_not_change_the_number_of_commands(harness: WorkerHarness) -> None:
    async def commands() -> int:
        before = await _calls(harness)
        await free(harness)
        await harness.store.leases("w").claim(10)
        return await _calls(harness) - before

    await harness.store.parking.pause("pack")
    await harness.send("po-a")
    await harness.run_until_idle(harness.worker("parker"))
    one = await commands()
    await park_events(harness)
    assert await commands() < one + EVENTS / 4  # checks of the connection add a few


async def test_sweep_checks_a_parked_event_with_few_commands(harness: WorkerHarness) -> None:
    async def commands() -> int:
        before = await _commands_of_scripts(harness)
        swept = await harness.store.sweeper.sweep("w1")
        assert swept is not None
        assert not swept.counts
        return await _commands_of_scripts(harness) - before

    empty = await commands()
    await park_events(harness)
    assert await commands() - empty <= 8 * EVENTS + 5


async def _commands_of_scripts(harness: WorkerHarness) -> int:
    stats: bytes = await harness.store.client.command("INFO", "commandstats")
    return sum(int(calls) for calls in re.findall(rb":calls=(\d+)", stats))


async def _calls(harness: WorkerHarness) -> int:
    await asyncio.sleep(0)
    stats: bytes = await harness.store.client.command("INFO", "stats")
    return int(stats.split(b"total_commands_processed:")[1].split(b"\r")[0])
