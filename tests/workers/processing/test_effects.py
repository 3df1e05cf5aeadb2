"""Effects: order, ledger, retry safety and outputs, on a real store and a real sink."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from service.errors import TransientError
from service.platforms.base import FetchedRecord
from service.records import PurchaseOrder
from service.sandbox.faults import Fault
from service.settings import Settings
from service.store.management.replay import plan_replay
from tests.waiting import PATIENCE_SECONDS
from tests.workers.harness import WorkerHarness, open_harness, sent_key
from workers.processing.effects import EffectsRun

pytestmark = pytest.mark.store


@pytest.fixture
async def harness(make_settings: Callable[..., Settings]) -> AsyncIterator[WorkerHarness]:
    async with open_harness(make_settings(backoff_base_seconds=0.02, attempts_max=3, lease_seconds=20)) as opened:
        yield opened


def rule(name: str, actions: str, **fields: str) -> str:
    more = "".join(f", {field}: {value}" for field, value in fields.items())
    return f"- {{id: {name}, type: purchase_order{more}, actions: [{actions}]}}\n"


def http(name: str, path: str = "") -> str:
    return f'{{id: {name}, do: http, url: "SINK/{path or name}", body: {{at: {name}}}}}'


async def test_rules_run_in_sort_order_until_a_match_with_stop(harness: WorkerHarness) -> None:
    await harness.publish(
        rule("late", http("late"), sort="9")
        + rule("early", http("early"), sort="1")
        + rule("last", http("last"), sort="5", stop="true")
    )
    event_id = await harness.send()
    await harness.run_worker()
    decided = (await harness.stored_event(event_id))["history"][1]
    assert [verdict["rule_id"] for verdict in decided["verdicts"]] == ["early", "last"]
    assert [effect["rule_id"] for effect in decided["effects"]] == ["early", "last"]
    assert sorted(body["at"] for body in harness.sink_bodies()) == ["early", "last"]


async def test_failed_effect_stops_later_effects_of_its_own_rule_only(harness: WorkerHarness) -> None:
    first, second = f"{http('a1')}, {http('a2')}, {http('a3')}", f"{http('b1')}, {http('b2')}"
    await harness.publish(rule("a", first) + rule("b", second))
    harness.sandbox.sandbox.faults.add(Fault(match="/_sandbox/sink/a2", status=400))
    event_id = await harness.send()
    await harness.run_worker()
    stored = await harness.stored_event(event_id)
    assert (stored["state"], stored["ledger"]) == ("dead", "dfpdd")
    assert sorted(body["at"] for body in harness.sink_bodies()) == ["a1", "b1", "b2"]


async def test_decision_and_ledger_are_written_before_each_call(
    harness: WorkerHarness,
) -> None:
    await harness.publish(rule("a", f"{http('a1')}, {http('a2')}"))
    event_id = await harness.send()
    ledgers: list[str] = []

    async def record_ledger() -> None:
        stored = await harness.stored_event(event_id)
        assert [effect["inputs"]["body"] for effect in stored["history"][1]["effects"]] == [{"at": "a1"}, {"at": "a2"}]
        ledgers.append(stored["ledger"])

    outbound = harness.dependencies.effects.resources["outbound"]
    request = outbound.request

    async def recording_request(method: str, url: str, **named: Any) -> Any:
        if method == "POST":
            await record_ledger()
        return await request(method, url, **named)

    outbound.request = recording_request
    await harness.run_worker()
    assert ledgers == ["sp", "ds"]


def fetched_objects() -> list[object]:
    return [each for each in gc.get_objects() if isinstance(each, FetchedRecord | PurchaseOrder)]


async def test_fetched_record_is_freed_before_effects_run(harness: WorkerHarness) -> None:
    await harness.publish(rule("a", http("a1")))
    await harness.send()
    others, left = fetched_objects(), list[list[object]]()  # `others`: objects of other tests
    outbound = harness.dependencies.effects.resources["outbound"]
    request = outbound.request

    async def recording_request(method: str, url: str, **named: Any) -> Any:
        if method == "POST":
            left.append([each for each in fetched_objects() if not any(each is other for other in others)])
        return await request(method, url, **named)

    outbound.request = recording_request
    await harness.run_worker()
    assert left == [[]]


async def test_run_with_a_failed_effect_is_freed_without_the_garbage_collector(harness: WorkerHarness) -> None:
    await harness.publish(rule("a", http("a1")))
    harness.sandbox.sandbox.faults.add(Fault(match="/_sandbox/sink/a1", status=400))
    await harness.send()
    gc.collect()
    gc.disable()
    try:
        await harness.run_worker()
        left = [each for each in gc.get_objects() if isinstance(each, EffectsRun)]
    finally:
        gc.enable()
    assert left == []


@pytest.mark.parametrize(
    ("do", "state", "calls"), [("http", "ended", 2), ("pack_cloud_sync_integration_orders", "dead", 1)]
)
async def test_started_effect_runs_again_if_keyed_and_ends_with_outcome_unknown_if_unsafe(
    harness: WorkerHarness, do: str, state: str, calls: int
) -> None:
    words = 'url: "SINK/x", body: {at: x}' if do == "http" else "integration: i1"
    await harness.publish(rule("a", f"{{id: x, do: {do}, {words}}}"))
    event_id = await harness.send()
    keys: list[str | None] = []
    blocked, released = asyncio.Event(), asyncio.Event()
    outbound = harness.dependencies.effects.resources["outbound"]
    request = outbound.request

    async def blocking_request(method: str, url: str, **named: Any) -> Any:
        if method == "GET":
            return await request(method, url, **named)
        keys.append(named["headers"].get("Idempotency-Key"))
        if len(keys) > 1:
            return await request(method, url, **named)
        blocked.set()
        await released.wait()
        raise TransientError("timeout", "too late")

    outbound.request = blocking_request
    stalled = harness.worker("stalled")
    run = asyncio.create_task(stalled.async_run())
    await asyncio.wait_for(blocked.wait(), PATIENCE_SECONDS)
    await expire_lease(harness)
    await harness.run_worker()
    stored = await harness.stored_event(event_id)
    assert (stored["state"], len(keys), len(set(keys))) == (state, calls, 1)
    assert state == "ended" or (stored["error_kind"], stored["ledger"]) == ("outcome_unknown", "u")
    stalled.handle_sig_wait_for_completion(15)  # type: ignore[arg-type]
    released.set()
    await asyncio.wait_for(run, PATIENCE_SECONDS)
    await stalled.close()
    assert stalled.leases_lost == 1
    assert await harness.stored_event(event_id) == stored


async def expire_lease(harness: WorkerHarness) -> None:
    """Expire the lease of the record's job without the knowledge of its worker."""
    lane = harness.store.keys.lane("pack:purchase_order:po-1")
    await harness.store.client.command("DEL", f"arq:in-progress:{lane}")
    await harness.store.client.command("ZADD", harness.settings.queue, 0, lane)


async def test_only_a_rerun_changes_idempotency_keys(harness: WorkerHarness) -> None:
    await harness.publish(rule("a", http("x")))
    event_id = await harness.send()
    await harness.run_worker()
    shown = await harness.stored_event(event_id)
    assert isinstance(plan_replay(shown, rerun_done=False), str)
    replay = plan_replay(shown, rerun_done=True)
    assert not isinstance(replay, str)
    await harness.store.replays.replay([replay])
    await harness.run_worker()
    assert harness.idempotency_keys() == [sent_key(f"{event_id}:a:x:0"), sent_key(f"{event_id}:a:x:1")]


@pytest.mark.parametrize("generation", ["x", "-1", "9" * 5000])
async def test_an_event_with_a_damaged_generation_is_not_rerun(harness: WorkerHarness, generation: str) -> None:
    await harness.publish(rule("a", http("x")))
    event_id = await harness.send()
    await harness.run_worker()
    shown = dict(await harness.stored_event(event_id)) | {"generation": generation}
    assert "count of reruns is damaged" in str(plan_replay(shown, rerun_done=True))


async def test_emit_and_publish_write_one_output_per_generation(
    harness: WorkerHarness,
) -> None:
    emit = "{id: e, do: emit, type: again, record: complete-1}"
    publish = '{id: p, do: publish, stream: out, message: "{id}"}'
    await harness.publish(rule("a", f"{emit}, {publish}", events="[updated]"))
    event_id = await harness.send()
    await harness.run_worker()
    shown = await harness.stored_event(event_id)
    replay = plan_replay(shown, rerun_done=True)
    assert not isinstance(replay, str)
    await harness.store.replays.replay([replay])
    await harness.run_worker()
    entries = await harness.store.client.command("XRANGE", harness.store.keys.named("stream:out"), "-", "+")
    assert [json.loads(fields[5]) for _, fields in entries] == ["po-1", "po-1"]  # once per generation
    ended = await harness.store.events.page("ended", 10)
    assert len([summary for summary in ended if summary.type == "again"]) == 2


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        ({"status": 500}, "dead"),
        ({"status": 502}, "dead"),
        ({"status": 504}, "dead"),
        ({"reset": True}, "dead"),
        ({"status": 429, "retry_after": 0}, "ended"),
        ({"status": 503, "retry_after": 0}, "ended"),
    ],
)
async def test_unsafe_effect_with_unknown_outcome_is_not_repeated(
    harness: WorkerHarness, fault: dict[str, Any], state: str
) -> None:
    await harness.publish(rule("a", "{id: x, do: pack_cloud_sync_integration_orders, integration: i1}"))
    harness.sandbox.sandbox.faults.add(Fault(match="/pack_cloud/v1/organizations/org_1/integrations", **fault))
    event_id = await harness.send()
    await harness.run_worker()
    stored = await harness.stored_event(event_id)
    assert stored["state"] == state
    assert state == "ended" or (stored["error_kind"], stored["ledger"]) == ("outcome_unknown", "u")
