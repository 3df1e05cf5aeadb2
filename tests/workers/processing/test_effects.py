"""What section "Effects" of the design promises, letter by letter, on a real store and a real sink."""

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
from tests.workers.harness import House, open_house
from workers.processing.effects import EffectsRun

pytestmark = pytest.mark.store


@pytest.fixture
async def house(make_settings: Callable[..., Settings]) -> AsyncIterator[House]:
    async with open_house(make_settings(backoff_base_seconds=0.02, attempts_max=3, lease_seconds=2)) as opened:
        yield opened


def rule(name: str, actions: str, **words: str) -> str:
    more = "".join(f", {word}: {value}" for word, value in words.items())
    return f"- {{id: {name}, type: purchase_order{more}, actions: [{actions}]}}\n"


def http(name: str, path: str = "") -> str:
    return f'{{id: {name}, do: http, url: "SINK/{path or name}", body: {{at: {name}}}}}'


async def test_rules_act_in_their_order_until_one_that_matches_stops(house: House) -> None:
    await house.publish(
        rule("late", http("late"), sort="9")
        + rule("early", http("early"), sort="1")
        + rule("last", http("last"), sort="5", stop="true")
    )
    event_id = await house.send()
    await house.work()
    decided = (await house.story(event_id))["history"][1]
    assert [verdict["rule_id"] for verdict in decided["verdicts"]] == ["early", "last"]
    assert [effect["rule_id"] for effect in decided["effects"]] == ["early", "last"]
    assert sorted(body["at"] for body in house.sunk()) == ["early", "last"]


async def test_a_failing_effect_holds_up_the_later_ones_of_its_own_rule_alone(house: House) -> None:
    first, second = f"{http('a1')}, {http('a2')}, {http('a3')}", f"{http('b1')}, {http('b2')}"
    await house.publish(rule("a", first) + rule("b", second))
    house.sandbox.sandbox.faults.add(Fault(match="/_sandbox/sink/a2", status=400))
    event_id = await house.send()
    await house.work()
    story = await house.story(event_id)
    assert (story["state"], story["ledger"]) == ("dead", "dfpdd")
    assert sorted(body["at"] for body in house.sunk()) == ["a1", "b1", "b2"]


async def test_the_decision_is_written_before_anything_runs_and_each_start_before_its_call(house: House) -> None:
    await house.publish(rule("a", f"{http('a1')}, {http('a2')}"))
    event_id = await house.send()
    ledgers: list[str] = []

    async def look() -> None:
        story = await house.story(event_id)
        assert [effect["inputs"]["body"] for effect in story["history"][1]["effects"]] == [{"at": "a1"}, {"at": "a2"}]
        ledgers.append(story["ledger"])

    outbound = house.dependencies.effects.resources["outbound"]
    request = outbound.request

    async def watched(method: str, url: str, **named: Any) -> Any:
        if method == "POST":
            await look()
        return await request(method, url, **named)

    outbound.request = watched
    await house.work()
    assert ledgers == ["sp", "ds"]


def fetched_objects() -> list[object]:
    return [each for each in gc.get_objects() if isinstance(each, FetchedRecord | PurchaseOrder)]


async def test_what_was_fetched_is_gone_by_the_time_an_effect_waits_for_its_answer(house: House) -> None:
    await house.publish(rule("a", http("a1")))
    await house.send()
    others, left = fetched_objects(), list[list[object]]()  # of other tests, which may still hold what they made
    outbound = house.dependencies.effects.resources["outbound"]
    request = outbound.request

    async def watched(method: str, url: str, **named: Any) -> Any:
        if method == "POST":
            left.append([each for each in fetched_objects() if not any(each is other for other in others)])
        return await request(method, url, **named)

    outbound.request = watched
    await house.work()
    assert left == [[]]


async def test_a_run_whose_effect_failed_goes_without_the_help_of_the_garbage_collector(house: House) -> None:
    await house.publish(rule("a", http("a1")))
    house.sandbox.sandbox.faults.add(Fault(match="/_sandbox/sink/a1", status=400))
    await house.send()
    gc.collect()
    gc.disable()
    try:
        await house.work()
        left = [each for each in gc.get_objects() if isinstance(each, EffectsRun)]
    finally:
        gc.enable()
    assert left == []


@pytest.mark.parametrize(
    ("do", "state", "calls"), [("http", "ended", 2), ("pack_cloud_sync_integration_orders", "dead", 1)]
)
async def test_found_started_a_keyed_effect_runs_again_and_an_unsafe_one_waits_for_a_person(
    house: House, do: str, state: str, calls: int
) -> None:
    words = 'url: "SINK/x", body: {at: x}' if do == "http" else "integration: i1"
    await house.publish(rule("a", f"{{id: x, do: {do}, {words}}}"))
    event_id = await house.send()
    keys: list[str | None] = []
    hanging, over = asyncio.Event(), asyncio.Event()
    outbound = house.dependencies.effects.resources["outbound"]
    request = outbound.request

    async def stuck(method: str, url: str, **named: Any) -> Any:
        if method == "GET":
            return await request(method, url, **named)
        keys.append(named["headers"].get("Idempotency-Key"))
        if len(keys) > 1:
            return await request(method, url, **named)
        hanging.set()
        await over.wait()
        raise TransientError("timeout", "too late")

    outbound.request = stuck
    stalled = house.worker("stalled")
    run = asyncio.create_task(stalled.async_run())
    await asyncio.wait_for(hanging.wait(), PATIENCE_SECONDS)
    await lose_lease(house)
    await house.work()
    story = await house.story(event_id)
    assert (story["state"], len(keys), len(set(keys))) == (state, calls, 1)
    assert state == "ended" or (story["error_kind"], story["ledger"]) == ("outcome_unknown", "u")
    stalled.handle_sig_wait_for_completion(15)  # type: ignore[arg-type]
    over.set()
    await asyncio.wait_for(run, PATIENCE_SECONDS)
    await stalled.close()
    assert stalled.leases_lost == 1
    assert await house.story(event_id) == story


async def lose_lease(house: House) -> None:
    """End the lease of the record's job, as time would: its holder is stopped and does not know."""
    lane = house.store.keys.lane("pack:purchase_order:po-1")
    await house.store.client.command("DEL", f"arq:in-progress:{lane}")
    await house.store.client.command("ZADD", house.settings.queue, 0, lane)


async def test_only_a_person_s_again_raises_the_generation_and_so_the_keys(house: House) -> None:
    await house.publish(rule("a", http("x")))
    event_id = await house.send()
    await house.work()
    shown = await house.story(event_id)
    assert isinstance(plan_replay(shown, rerun_done=False), str)
    again = plan_replay(shown, rerun_done=True)
    assert not isinstance(again, str)
    await house.store.replays.replay([again])
    await house.work()
    assert house.keys() == [f"{event_id}:a:x:0", f"{event_id}:a:x:1"]


async def test_emitted_and_published_things_come_once_though_their_effect_is_written_twice(house: House) -> None:
    emit = "{id: e, do: emit, type: again, record: complete-1}"
    publish = '{id: p, do: publish, stream: out, message: "{id}"}'
    await house.publish(rule("a", f"{emit}, {publish}", events="[updated]"))
    event_id = await house.send()
    await house.work()
    shown = await house.story(event_id)
    again = plan_replay(shown, rerun_done=True)
    assert not isinstance(again, str)
    await house.store.replays.replay([again])
    await house.work()
    entries = await house.store.client.command("XRANGE", house.store.keys.named("stream:out"), "-", "+")
    assert [json.loads(fields[5]) for _, fields in entries] == ["po-1", "po-1"]  # once a generation
    ended = await house.store.events.page("ended", 10)
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
async def test_an_unsafe_effect_that_may_have_happened_is_not_repeated(
    house: House, fault: dict[str, Any], state: str
) -> None:
    await house.publish(rule("a", "{id: x, do: pack_cloud_sync_integration_orders, integration: i1}"))
    house.sandbox.sandbox.faults.add(Fault(match="/pack_cloud/v1/organizations/org_1/integrations", **fault))
    event_id = await house.send()
    await house.work()
    story = await house.story(event_id)
    assert story["state"] == state
    assert state == "ended" or (story["error_kind"], story["ledger"]) == ("outcome_unknown", "u")
