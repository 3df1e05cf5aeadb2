"""Order of effects: retries keep the event order of a record, per rule and action."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from service.cli.explanation_output import format_explanation
from service.errors import ConfigError
from service.management.event_view import view_event
from service.management.explanation import build_explanation
from service.sandbox.faults import Fault
from service.settings import Settings
from service.store.management.replay import plan_replay
from service.store.queue.arq_jobs import decode_job
from tests.workers.harness import WorkerHarness, open_harness, shorten_circuits

pytestmark = pytest.mark.store

PATH = "/_sandbox/sink/a"


@pytest.fixture
async def harness(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[WorkerHarness]:
    shorten_circuits(monkeypatch)
    settings = make_settings(backoff_base_seconds=0.02, backoff_seconds_max=0.05, attempts_max=6, lease_seconds=5)
    async with open_harness(settings) as opened:
        yield opened


def put(name: str, options: str = "", path: str = "a") -> str:
    return f'{{id: {name}, do: http, method: PUT, url: "SINK/{path}", body: {{event: "{{event.id}}"}}{options}}}'


def rules(actions: str) -> str:
    return f"- {{id: r, type: purchase_order, actions: [{actions}]}}\n"


def events_at(harness: WorkerHarness) -> list[str]:
    """Return the events of the requests that succeeded, in order."""
    return [body["event"] for body in harness.sink_bodies()]


async def send(harness: WorkerHarness, count: int) -> list[str]:
    return [await harness.send() for _ in range(count)]


def fail(harness: WorkerHarness, times: int, status: int | None = 503, **fields: Any) -> None:
    harness.sandbox.sandbox.faults.add(Fault(match=PATH, times=times, status=status, **fields))


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [{"status": 503}, {"status": 429, "retry_after": 0}, {"status": None, "reset": True}],
    ids=["503", "429", "reset"],
)
@pytest.mark.parametrize("times", [1, 3])
async def test_effects_of_later_events_wait_for_the_retry_of_an_earlier_one(
    harness: WorkerHarness, fault: dict[str, Any], times: int
) -> None:
    await harness.publish(rules(put("a")))
    ids = await send(harness, 4)
    fail(harness, times, **fault)
    await harness.run_worker()
    assert events_at(harness) == ids
    stored = [await harness.stored_event(event_id) for event_id in ids]
    assert {each["state"] for each in stored} == {"ended"}
    assert [each["attempts"] for each in stored[1:]] == ["1", "1", "1"]
    assert await harness.store.client.command("KEYS", "wb:order:*") == []


async def test_unordered_effects_do_not_wait(harness: WorkerHarness) -> None:
    await harness.publish(rules(put("a", ", ordered: false")))
    ids = await send(harness, 3)
    fail(harness, 1, status=500, retry_after=3600)
    await harness.run_until_idle(harness.worker())
    assert events_at(harness) == ids[1:]


@pytest.mark.slow
async def test_latest_only_skips_waiting_effects_of_earlier_events(harness: WorkerHarness) -> None:
    await harness.publish(rules(put("a", ", latest_only: true")))
    ids = await send(harness, 4)
    fail(harness, 1)
    await harness.run_worker()
    assert events_at(harness) == [ids[3]]
    stored = [await harness.stored_event(event_id) for event_id in ids]
    assert [(each["outcome"], each["ledger"]) for each in stored] == [("matched", "x")] * 3 + [("matched", "d")]
    assert stored[0]["history"][-2]["outcome"] == "superseded"
    assert isinstance(plan_replay(stored[0], rerun_done=False), str)


async def test_latest_only_is_rejected_without_an_order(harness: WorkerHarness) -> None:
    with pytest.raises(ConfigError, match="latest_only: needs an order"):
        await harness.publish(rules(put("a", ", ordered: false, latest_only: true")))


@pytest.mark.slow
async def test_dead_letter_lets_later_events_continue(harness: WorkerHarness) -> None:
    await harness.publish(rules(put("a")))
    ids = await send(harness, 3)
    fail(harness, 1)
    fail(harness, 1, status=400)
    await harness.run_worker()
    assert events_at(harness) == ids[1:]
    assert (await harness.stored_event(ids[0]))["state"] == "dead"


@pytest.mark.slow
async def test_only_the_same_rule_and_action_waits(harness: WorkerHarness) -> None:
    other = f"- {{id: q, type: purchase_order, actions: [{put('q', path='q')}]}}\n"
    await harness.publish(rules(f"{put('first', path='first')}, {put('a')}") + other)
    ids = await send(harness, 2)
    fail(harness, 1)
    await harness.run_worker()
    by_path: dict[str, list[str]] = {}
    for request in harness.sandbox.sandbox.sink.requests:
        by_path.setdefault(request.path.rsplit("/", 1)[1], []).append(json.loads(request.body)["event"])
    assert by_path == {"first": ids, "a": ids, "q": ids}
    assert {(await harness.stored_event(event_id))["ledger"] for event_id in ids} == {"ddd"}


async def test_waiting_event_has_no_job_and_names_the_event_before_it(harness: WorkerHarness) -> None:
    await harness.publish(rules(put("a")))
    ids = await send(harness, 3)
    fail(harness, 1, status=500, retry_after=3600)
    worker = harness.worker()
    await harness.run_until_idle(worker)
    queued = await harness.store.client.command("ZRANGE", harness.settings.queue, 0, -1)
    assert queued == [f"wb:effects:{ids[0]}".encode()]
    shown = await harness.stored_event(ids[2])
    assert (shown["waiting_for"], shown["attempts"]) == ("earlier_effect", "0")
    view = view_event("main", shown, 0, "outline")
    (effect,) = view.effects
    assert effect.waiting_behind == ids[0]
    lines = list(format_explanation(build_explanation(view, {}), datetime.now(UTC)))
    assert f"      waiting behind effect r.a of event {ids[0]}" in lines
    swept = await harness.store.sweeper.sweep("w1")
    assert swept is not None
    assert not swept.counts
    await harness.store.memory_usage.erase_events("pack:purchase_order:po-1", [ids[0]])
    await harness.run_worker()
    assert events_at(harness) == ids[1:]


async def test_sweep_wakes_an_event_whose_predecessor_is_gone(harness: WorkerHarness) -> None:
    await harness.publish(rules(put("a")))
    ids = await send(harness, 2)
    fail(harness, 1, status=500, retry_after=3600)
    await harness.run_until_idle(harness.worker())
    await harness.store.client.command("ZREM", harness.store.keys.named("open"), ids[0])
    swept = await harness.store.sweeper.sweep("w1")
    assert swept is not None
    assert swept.counts["decided_without_job"] == 1
    payload = await harness.store.client.command("GET", f"arq:job:wb:effects:{ids[1]}")
    assert decode_job(payload).function == "finish_effects"
    await harness.run_worker()
    assert events_at(harness) == [ids[1]]


async def test_crash_of_the_worker_keeps_the_order(harness: WorkerHarness) -> None:
    """The worker crashes after the decision of the second event, before that event waits."""
    await harness.publish(rules(put("a")))
    ids = await send(harness, 2)
    fail(harness, 1, status=500, retry_after=3600)
    settle = harness.store.lanes.settle
    crashes: list[str] = []

    async def crash(write: Any) -> Any:
        if write.step == "behind" and not crashes:
            crashes.append(write.event_id)
            raise RuntimeError("crash")
        return await settle(write)

    harness.store.lanes.settle = crash  # type: ignore[method-assign]
    await harness.run_until_idle(harness.worker())
    harness.store.lanes.settle = settle  # type: ignore[method-assign]
    assert crashes == [ids[1]]
    lane = harness.store.keys.lane("pack:purchase_order:po-1")
    await harness.store.client.command("DEL", f"arq:in-progress:{lane}")
    await harness.store.client.command("ZADD", harness.settings.queue, "XX", 0, lane)
    await harness.run_until_idle(harness.worker("w2"))
    assert events_at(harness) == []
    await harness.store.client.command("ZADD", harness.settings.queue, "XX", 0, f"wb:effects:{ids[0]}")
    await harness.run_worker()
    assert events_at(harness) == ids


@pytest.mark.slow
async def test_a_dead_letter_does_not_advance_the_retry_of_an_earlier_event(harness: WorkerHarness) -> None:
    await harness.publish(rules(put("a")))
    ids = await send(harness, 2)
    fail(harness, 1, status=500, retry_after=3600)
    settle = harness.store.lanes.settle

    async def crash(write: Any) -> Any:
        if write.step == "behind":
            raise RuntimeError("crash")
        return await settle(write)

    harness.store.lanes.settle = crash  # type: ignore[method-assign]
    while (await harness.stored_event(ids[1])).get("state") != "dead":
        await harness.run_until_idle(harness.worker())
    assert events_at(harness) == []
    due = await harness.store.client.command("ZSCORE", harness.settings.queue, f"wb:effects:{ids[0]}")
    assert float(due) / 1000 > await harness.store.queue_stats.clock() + 1800
