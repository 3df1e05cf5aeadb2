"""Effects: what is repeated and what is not, in which order, and that waiting is done as it was asked for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, ClassVar

import pytest

from service.actions import Action, ActionContext, CompileTemplate, Render, Repeat
from service.errors import TransientError
from service.sandbox.faults import Fault
from service.settings import Settings
from tests.workers.house import SINK_RULE, House, open_house

pytestmark = pytest.mark.store

calls: list[str] = []
trouble: list[str] = []
pauses: list[float] = []


class Probe(Action, frozen=True, kw_only=True, tag="probe_safe"):
    """Notes that it was called, and fails with the next kind in trouble."""

    repeat: ClassVar[Repeat] = "safe"

    def compile(self, compile_template: CompileTemplate) -> Render:
        _ = compile_template
        return lambda _: {}

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        _ = inputs
        calls.append(context.idempotency_key)
        await asyncio.sleep(pauses.pop() if pauses else 0.02)
        if trouble:
            raise TransientError(trouble.pop(0), "trouble")
        return {"ok": True}


class KeyedProbe(Probe, frozen=True, kw_only=True, tag="probe_keyed"):
    repeat: ClassVar[Repeat] = "keyed"


class UnsafeProbe(Probe, frozen=True, kw_only=True, tag="probe_unsafe"):
    repeat: ClassVar[Repeat] = "unsafe"


def rule(name: str, *actions: str) -> str:
    listed = "".join(f"\n    - {{id: a{place}, do: {do}}}" for place, do in enumerate(actions))
    return f"- id: {name}\n  type: purchase_order\n  when: {{field: id, op: exists}}\n  actions:{listed}\n"


@pytest.fixture
async def house(make_settings: Callable[..., Settings]) -> AsyncIterator[House]:
    calls.clear()
    trouble.clear()
    pauses.clear()
    settings = make_settings(backoff_seconds=0.02, attempts_max=3, lease_seconds=2, action_seconds_max=2)
    async with open_house(settings, Probe, KeyedProbe, UnsafeProbe) as opened:
        yield opened


async def until(condition: Callable[[], Awaitable[bool] | bool], seconds_max: float = 5) -> None:
    async with asyncio.timeout(seconds_max):
        while True:
            met = condition()
            if met if isinstance(met, bool) else await met:
                return
            await asyncio.sleep(0.002)


async def cut_off(house: House, job: str = "wb:lane:pack:purchase_order:po-1") -> None:
    """Start a run, and let its worker vanish in the middle of the first action; its lease is over at once."""
    pauses.append(30)
    worker = house.worker("doomed")
    running = asyncio.create_task(worker.async_run())
    await until(lambda: bool(calls))
    worker.handle_sig_wait_for_completion(15)  # type: ignore[arg-type]
    await until(lambda: worker.leases._answered)  # no claim is under way that could take the job up again
    await house.store.client.command("DEL", f"arq:in-progress:{job}")
    await house.store.client.command("ZADD", "arq:queue", 1, job)
    for task in list(worker.tasks.values()):
        task.cancel()
    await running
    await worker.close()


@pytest.mark.parametrize("do", ["probe_safe", "probe_keyed"])
async def test_an_effect_that_may_be_repeated_and_was_cut_off_runs_again_with_the_same_key(
    house: House, do: str
) -> None:
    await house.publish(rule("r", do))
    event_id = await house.send()
    await cut_off(house)
    assert (await house.story(event_id))["ledger"] == "s"
    await house.work()
    assert calls == [f"{event_id}:r:a0:0"] * 2
    assert (await house.story(event_id))["fate"] == "matched"


async def test_an_unsafe_effect_that_was_cut_off_is_left_to_a_person_and_its_lane_goes_on(house: House) -> None:
    await house.publish(rule("r", "probe_unsafe"))
    event_id, later = await house.send(), await house.send()
    await cut_off(house)
    await house.work()
    assert calls == [f"{event_id}:r:a0:0", f"{later}:r:a0:0"]
    story = await house.story(event_id)
    assert (story["state"], story["fate"], story["ledger"]) == ("dead", "outcome_unknown", "u")
    assert (await house.story(later))["fate"] == "matched"


@pytest.mark.parametrize("kind", ["timeout", "reset", "truncated"])
async def test_an_unsafe_effect_with_an_ambiguous_failure_is_left_to_a_person(house: House, kind: str) -> None:
    await house.publish(rule("r", "probe_unsafe"))
    trouble.append(kind)
    event_id = await house.send()
    await house.work()
    story = await house.story(event_id)
    assert (story["state"], story["ledger"], len(calls)) == ("dead", "u", 1)


async def test_an_unsafe_effect_that_was_surely_not_done_is_tried_again(house: House) -> None:
    await house.publish(rule("r", "probe_unsafe"))
    trouble.append("connect")
    event_id = await house.send()
    await house.work()
    assert ((await house.story(event_id))["fate"], len(calls)) == ("matched", 2)


@pytest.mark.parametrize("kind", ["timeout", "reset", "connect"])
async def test_a_keyed_effect_is_tried_again_after_any_failure_that_waiting_may_heal(house: House, kind: str) -> None:
    await house.publish(rule("r", "probe_keyed"))
    trouble.append(kind)
    event_id = await house.send()
    await house.work()
    assert (await house.story(event_id))["fate"] == "matched"
    assert calls == [f"{event_id}:r:a0:0"] * 2


async def test_retry_after_is_waited_for(house: House) -> None:
    await house.publish(SINK_RULE)
    house.sandbox.sandbox.faults.add(Fault(match="/_sandbox/sink", status=429, retry_after=1))
    event_id = await house.send()
    await house.work()
    first, second = [line for line in (await house.story(event_id))["story"] if line["what"] == "effect"]
    assert second["at_ms"] - first["at_ms"] >= 1_000
    assert [line["outcome"] for line in (first, second)] == ["error", "ok"]


async def test_a_dead_letter_is_named_after_its_failed_effect_though_others_ended_later(house: House) -> None:
    other = SINK_RULE.replace("short-receipt", "other").replace("claims", "other")
    await house.publish(SINK_RULE + other)
    house.sandbox.sandbox.faults.add(Fault(match="/_sandbox/sink/claims", status=400))
    house.sandbox.sandbox.faults.add(Fault(match="/_sandbox/sink/other", status=503))
    event_id = await house.send()
    await house.work()
    story = await house.story(event_id)
    assert (story["state"], sorted(story["ledger"])) == ("dead", ["d", "f"])
    assert story["fate"] == "effect_failed"
    assert story["story"][-1]["error_kind"] == "effect_failed"


async def test_effects_of_one_rule_run_in_order_and_those_of_two_rules_side_by_side(house: House) -> None:
    await house.publish(rule("one", *["probe_safe"] * 3) + rule("two", *["probe_safe"] * 3))
    event_id = await house.send()
    await house.work()
    story = await house.story(event_id)
    assert story["ledger"] == "d" * 6
    for name in ("one", "two"):
        assert [key for key in calls if f":{name}:" in key] == [f"{event_id}:{name}:a{place}:0" for place in range(3)]
    assert [key.split(":")[2] for key in calls] == ["a0", "a0", "a1", "a1", "a2", "a2"]
    lines = [line["action"] for line in story["story"] if line["what"] == "effect"]
    assert sorted(lines) == ["a0", "a0", "a1", "a1", "a2", "a2"]


async def test_an_action_nobody_has_waits_for_a_worker_that_has_it(house: House) -> None:
    await house.publish(rule("r", "probe_safe"))
    actions = dict(house.tools.effects.actions)
    probe = actions.pop("probe_safe")
    event_id = await house.send()
    mapping = house.tools.effects.actions
    assert isinstance(mapping, dict)
    del mapping["probe_safe"]
    working = asyncio.create_task(house.work())

    async def is_told() -> bool:
        return any(line.get("error_kind") == "unknown_action" for line in (await house.story(event_id))["story"])

    await until(is_told)
    mapping["probe_safe"] = probe
    await working
    assert (await house.story(event_id))["fate"] == "matched"
