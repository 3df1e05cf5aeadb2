"""Replays and discards of ended events and dead letters."""

from collections.abc import AsyncIterator, Callable

import pytest

from service.sandbox.faults import Fault
from service.settings import Settings
from service.store.management.replay import Replay, plan_replay
from tests.workers.harness import SINK_RULE, WorkerHarness, open_harness, sent_key

pytestmark = pytest.mark.store

TWO_RULES = SINK_RULE + SINK_RULE.replace("short-receipt", "other").replace("claims", "other")


@pytest.fixture
async def harness(make_settings: Callable[..., Settings]) -> AsyncIterator[WorkerHarness]:
    async with open_harness(make_settings(backoff_base_seconds=0.02, attempts_max=2, lease_seconds=20)) as opened:
        yield opened


async def plan(harness: WorkerHarness, event_id: str, *, rerun: bool = False) -> Replay | str:
    return plan_replay(await harness.stored_event(event_id), rerun_done=rerun)


async def replay(harness: WorkerHarness, event_id: str, *, rerun: bool = False) -> str:
    planned = await plan(harness, event_id, rerun=rerun)
    assert isinstance(planned, Replay), planned
    return (await harness.store.replays.replay([planned]))[0]


async def dead_after_fetch(harness: WorkerHarness) -> str:
    await harness.publish(SINK_RULE)
    harness.sandbox.sandbox.faults.add(Fault(match="/pack_cloud", status=500, times=2))
    event_id = await harness.send()
    await harness.run_worker()
    assert (await harness.stored_event(event_id))["state"] == "dead"
    return event_id


async def dead_after_one_of_two_effects(harness: WorkerHarness) -> str:
    await harness.publish(TWO_RULES)
    harness.sandbox.sandbox.faults.add(Fault(match="/_sandbox/sink/claims", status=400))
    event_id = await harness.send()
    await harness.run_worker()
    assert (await harness.stored_event(event_id))["state"] == "dead"
    return event_id


async def test_event_in_progress_is_not_replayed(harness: WorkerHarness) -> None:
    await harness.publish(SINK_RULE)
    event_id = await harness.send()
    assert await plan(harness, event_id) == "it is in progress"
    assert await harness.store.replays.replay([Replay(event_id, "pack:purchase_order:po-1")]) == ["open"]


async def test_unknown_event_is_not_replayed(harness: WorkerHarness) -> None:
    assert await harness.store.replays.replay([Replay("0" * 32, "pack:purchase_order:po-1")]) == ["gone"]


async def test_event_with_all_effects_done_is_replayed_only_as_a_rerun(harness: WorkerHarness) -> None:
    await harness.publish(SINK_RULE)
    event_id = await harness.send()
    await harness.run_worker()
    assert "rerun_done" in str(await plan(harness, event_id))
    assert await replay(harness, event_id, rerun=True) == "effects"
    await harness.run_worker()
    assert harness.idempotency_keys() == [
        sent_key(f"{event_id}:short-receipt:claim:{generation}") for generation in (0, 1)
    ]
    assert (await harness.stored_event(event_id))["state"] == "ended"


async def test_dead_letter_without_decision_is_decided_after_its_replay(harness: WorkerHarness) -> None:
    event_id = await dead_after_fetch(harness)
    assert await replay(harness, event_id) == "lane"
    await harness.run_worker()
    stored = await harness.stored_event(event_id)
    assert (stored["state"], stored["outcome"], stored["attempts"]) == ("ended", "matched", "1")
    assert await harness.store.events.page("dead", 10) == []
    assert len(harness.idempotency_keys()) == 1


async def test_replay_runs_only_unfinished_effects_and_does_not_decide_again(harness: WorkerHarness) -> None:
    event_id = await dead_after_one_of_two_effects(harness)
    assert harness.idempotency_keys() == [sent_key(f"{event_id}:other:claim:0")]
    assert await replay(harness, event_id) == "effects"
    await harness.run_worker()
    keys = {sent_key(f"{event_id}:{rule}:claim:0") for rule in ("other", "short-receipt")}
    assert len(harness.idempotency_keys()) == 2
    assert set(harness.idempotency_keys()) == keys
    assert [line["entry"] for line in (await harness.stored_event(event_id))["history"]].count("decided") == 1


async def test_same_replay_twice_in_one_call_runs_once(harness: WorkerHarness) -> None:
    event_id = await dead_after_one_of_two_effects(harness)
    planned = await plan(harness, event_id)
    assert isinstance(planned, Replay)
    assert await harness.store.replays.replay([planned, planned]) == ["effects", "open"]
    await harness.run_worker()
    assert len(harness.idempotency_keys()) == 2


async def test_repeated_replay_after_its_end_changes_nothing(harness: WorkerHarness) -> None:
    event_id = await dead_after_one_of_two_effects(harness)
    planned = await plan(harness, event_id)
    assert isinstance(planned, Replay)
    for result in (
        "effects",
        "over",
    ):  # the first response was lost, and a worker ran the effects before the second call
        assert await harness.store.replays.replay([planned]) == [result]
        await harness.run_worker()
    keys = {sent_key(f"{event_id}:{rule}:claim:0") for rule in ("other", "short-receipt")}
    assert len(harness.idempotency_keys()) == 2
    assert set(harness.idempotency_keys()) == keys
    assert (await harness.stored_event(event_id))["ledger"] == "dd"


async def test_repeated_rerun_call_runs_once(harness: WorkerHarness) -> None:
    await harness.publish(SINK_RULE)
    event_id = await harness.send()
    await harness.run_worker()
    planned = await plan(harness, event_id, rerun=True)
    assert isinstance(planned, Replay)
    for result in ("effects", "over"):
        assert await harness.store.replays.replay([planned]) == [result]
        await harness.run_worker()
    assert harness.idempotency_keys() == [
        sent_key(f"{event_id}:short-receipt:claim:{generation}") for generation in (0, 1)
    ]


async def test_repeated_replay_does_not_decide_again(
    harness: WorkerHarness,
) -> None:
    event_id = await dead_after_fetch(harness)
    planned = await plan(harness, event_id)
    assert isinstance(planned, Replay)
    for result in ("lane", "over"):
        assert await harness.store.replays.replay([planned]) == [result]
        await harness.run_worker()
    assert [line["entry"] for line in (await harness.stored_event(event_id))["history"]].count("decided") == 1
    assert len(harness.idempotency_keys()) == 1


async def test_effects_done_by_a_concurrent_replay_stay_done(harness: WorkerHarness) -> None:
    event_id = await dead_after_one_of_two_effects(harness)
    planned = await plan(harness, event_id)
    assert isinstance(planned, Replay)
    harness.sandbox.sandbox.faults.add(Fault(match="/_sandbox/sink/claims", status=400))
    assert await replay(harness, event_id) == "effects"
    await harness.run_worker()
    assert (await harness.stored_event(event_id))["state"] == "dead"
    assert await harness.store.replays.replay([planned]) == ["effects"]
    await harness.run_worker()
    keys = {sent_key(f"{event_id}:{rule}:claim:0") for rule in ("other", "short-receipt")}
    assert len(harness.idempotency_keys()) == 2
    assert set(harness.idempotency_keys()) == keys


async def test_effects_run_without_the_bytes_of_the_event(harness: WorkerHarness) -> None:
    event_id = await dead_after_one_of_two_effects(harness)
    await harness.store.client.command("DEL", f"wb:delivery:{event_id}")
    assert await replay(harness, event_id) == "effects"
    await harness.run_worker()
    assert (await harness.stored_event(event_id))["outcome"] == "matched"


async def test_discarded_dead_letter_has_its_reason_and_its_bytes_expire(harness: WorkerHarness) -> None:
    event_id = await dead_after_fetch(harness)
    assert await harness.store.replays.discard([event_id, "0" * 32], "sent by mistake") == 1
    stored = await harness.stored_event(event_id)
    assert (stored["state"], stored["outcome"], stored["reason"]) == ("ended", "discarded", "sent by mistake")
    assert await harness.store.client.command("PTTL", f"wb:delivery:{event_id}") > 0
    assert await harness.store.replays.discard([event_id], "again") == 0


async def test_event_page_uses_the_history_if_the_bytes_are_missing(harness: WorkerHarness) -> None:
    event_id = await dead_after_fetch(harness)
    (before,) = await harness.store.events.page("dead", 10)
    await harness.store.client.command("DEL", f"wb:delivery:{event_id}")
    (after,) = await harness.store.events.page("dead", 10)
    assert after == before
    assert (after.source, after.record) == ("shop", "pack:purchase_order:po-1")


async def test_dead_letters_of_one_millisecond_are_all_listed(harness: WorkerHarness) -> None:
    ids = [f"{number:032x}" for number in range(450)]
    for event_id in ids:
        await harness.store.client.command("ZADD", "wb:dead", 1_000, event_id)
    assert sorted(await harness.store.events.ids_of("dead", "")) == ids
