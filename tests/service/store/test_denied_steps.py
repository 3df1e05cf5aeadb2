"""Scripts of workers that fail half-way by a denied command: no job, event or quarantined delivery is lost.

`test_denied_commands` tests the scripts that store and end events.
"""

import pytest

from service.store import JobEnd, Store
from tests.service.store.builders import WINDOW_MS, claim_one, decision, make_event, settlement
from tests.service.store.management.test_quarantine import make_quarantined
from tests.service.store.test_denied_commands import attempt, indexes_of, writes_of

pytestmark = [pytest.mark.slow, pytest.mark.store]  # many cases

ACCOUNT = "pack"


async def make_due(store: Store) -> None:
    """Let all leases and waits end."""
    for job in await store.client.command("ZRANGE", store.settings.queue, 0, -1):
        await store.client.command("DEL", b"arq:in-progress:" + job)
        if float(await store.client.command("ZSCORE", store.settings.queue, job)) < 9e15:  # parked
            await store.client.command("ZADD", store.settings.queue, 0, job)


async def end_event(store: Store, worker: str, event_id: str) -> None:
    """Claim the only job, and end its event."""
    job = await claim_one(store, worker)
    assert job.head is not None
    assert job.head.id == event_id
    await store.lanes.decide(decision(job, event_id))
    assert await indexes_of(store, event_id) == {"ended"}


@pytest.mark.parametrize("command", writes_of("claim"))
async def test_event_of_a_failed_claim_is_claimed_again(store: Store, command: str) -> None:
    event = make_event()
    await store.ingest(event, "k", WINDOW_MS)
    leases = store.leases("w1")
    await attempt(store, command, lambda: leases.claim(10))
    assert await indexes_of(store, event.id) == {"open"}
    await make_due(store)
    await end_event(store, "w2", event.id)


@pytest.mark.parametrize("command", writes_of("renew"))
async def test_failed_renewal_releases_no_job(store: Store, command: str) -> None:
    event = make_event()
    await store.ingest(event, "k", WINDOW_MS)
    job = await claim_one(store)
    await attempt(store, command, lambda: store.leases("w1").renew([job]))
    assert (await store.leases("w2").claim(10)).jobs == []
    await store.lanes.decide(decision(job, event.id))
    assert await indexes_of(store, event.id) == {"ended"}


@pytest.mark.parametrize("command", writes_of("settle"))
async def test_event_of_a_failed_parking_is_never_without_a_job(store: Store, command: str) -> None:
    event = make_event()
    await store.ingest(event, "k", WINDOW_MS)
    job = await claim_one(store)
    parked = settlement(job, event.id, "release", outcome="circuit_open", account=ACCOUNT)
    await attempt(store, command, lambda: store.lanes.settle(parked))
    await store.sweeper.sweep("w1")
    await free(store)
    await end_event(store, "w2", event.id)


async def free(store: Store) -> None:
    """Free the parked job, and let leases and waits end."""
    await store.client.command("DEL", f"wb:recovery:{ACCOUNT}")
    await store.parking.unpark(ACCOUNT, "closed", 10.0)
    await make_due(store)


@pytest.mark.parametrize("command", writes_of("unpark"))
async def test_parked_job_of_a_failed_recovery_is_freed_by_the_next_one(store: Store, command: str) -> None:
    event = make_event()
    await store.ingest(event, "k", WINDOW_MS)
    job = await claim_one(store)
    await store.lanes.settle(settlement(job, event.id, "release", outcome="circuit_open", account=ACCOUNT))
    await attempt(store, command, lambda: store.parking.unpark(ACCOUNT, "closed", 10.0))
    await free(store)
    await end_event(store, "w2", event.id)


@pytest.mark.parametrize("command", writes_of("finish"))
async def test_plain_job_of_a_failed_end_is_in_the_queue_or_a_dead_job(store: Store, command: str) -> None:
    await store.client.command("SET", "arq:job:plain", b"payload")
    await store.client.command("ZADD", store.settings.queue, 1, "plain")
    job = await claim_one(store)
    end = JobEnd("plain", job.token, "bury", "reason")
    await attempt(store, command, lambda: store.leases("w1").finish([end], seconds_max=0))
    queued = await store.client.command("ZSCORE", store.settings.queue, "plain")
    payload = await store.client.command("GET", "arq:job:plain")
    dead = await store.client.command("XLEN", "wb:dead_jobs")
    assert (queued is not None and payload == b"payload") or dead == 1


@pytest.mark.parametrize("command", writes_of("erase"))
async def test_failed_erasure_is_completed_by_the_next_one(store: Store, command: str) -> None:
    event = make_event()
    await store.ingest(event, "k", WINDOW_MS)
    lane = event.record.lane
    await attempt(store, command, lambda: store.memory_usage.erase_record(lane))
    await store.memory_usage.erase_record(lane)
    for kind in ("event", "delivery", "history", "record"):
        assert await store.client.command("EXISTS", f"wb:{kind}:{event.id}", f"wb:{kind}:{lane}") == 0, kind
    assert await indexes_of(store, event.id) == set()


@pytest.mark.parametrize("command", writes_of("delete_quarantined"))
async def test_failed_deletion_of_a_delivery_is_completed_by_the_next_one(store: Store, command: str) -> None:
    deliveries = [make_quarantined(1), make_quarantined(2)]
    await store.quarantine_deliveries(deliveries)
    await attempt(store, command, lambda: store.quarantine.delete("a", [deliveries[0].id]))
    await store.quarantine.delete("a", [deliveries[0].id])
    assert await store.quarantine.read("a", [each.id for each in deliveries]) == [deliveries[1]]
