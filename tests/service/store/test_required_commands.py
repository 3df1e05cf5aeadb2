"""Check of the commands that the store's user needs."""

from collections.abc import Callable

import pytest

from service.errors import StoreUnavailable
from service.settings import Settings
from service.store import IngestRequest, LaneStep, Store, open_store
from tests.service.store.builders import WINDOW_MS, claim_one, decision, make_event, settlement
from tests.service.store.test_denied_commands import attempt, commands_of

pytestmark = [pytest.mark.slow, pytest.mark.store]  # many cases


async def run_ingest(store: Store) -> None:
    """Ingest an event, and a duplicate with other content."""
    await store.ingest_all([IngestRequest(make_event(), "k", WINDOW_MS, content) for content in (b"a", b"b")])


async def run_worker(store: Store) -> None:
    """Ingest events, and end them in each way."""
    steps: list[LaneStep] = ["end", "bury", "hold", "release", "defer", "postpone"]
    for number, step in enumerate(steps):
        event = make_event(str(number))
        await store.ingest(event, step, WINDOW_MS)
        job = await claim_one(store, step)
        await store.leases(step).renew([job])
        await store.lanes.decide(decision(job, event.id, ledger="p"))
        ended = settlement(job, event.id, step, ledger="d", history=step.encode(), outcome="x", delay_ms=60_000)
        await store.lanes.settle(ended)


@pytest.mark.parametrize("is_worker", [False, True], ids=["ingress", "worker"])
@pytest.mark.parametrize("command", sorted({"EVALSHA", *commands_of("ingest"), *commands_of("settle")}))
async def test_check_fails_without_a_required_command(
    make_settings: Callable[..., Settings], command: str, *, is_worker: bool
) -> None:
    store = await open_store(make_settings(ingest_timeout_seconds=1))
    run = run_worker if is_worker else run_ingest
    await run(store)
    await store.client.command("FLUSHALL")
    await store.check(is_worker=is_worker)
    required = not await attempt(store, command, lambda: run(store), StoreUnavailable)
    accepted = await attempt(store, command, lambda: store.check(is_worker=is_worker), StoreUnavailable)
    assert not (required and accepted)
    await store.check(is_worker=is_worker)
    await store.close()
