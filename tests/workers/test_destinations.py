"""Destinations in workers: a shared limit, an outage of three days, unknown results, and order."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
from aiohttp import web

from service.metrics.families import EFFECT_SECONDS, EFFECTS
from service.settings import Settings
from service.store import Shards
from tests.waiting import PATIENCE_SECONDS, until
from tests.workers.harness import RECOVERY_SECONDS, WorkerHarness, open_harness
from workers.recovery import run_recovery

pytestmark = [pytest.mark.store, pytest.mark.slow]

RULE = """
- id: all
  type: purchase_order
  actions: [{id: claim, do: http, destination: erp, path: "/{id}", body: {event: "{event.id}"}}]
"""
EVENTS, IN_FLIGHT = 250, 4
DAY_MS = 86_400_000


class Target:
    """A real server. Counts the calls in progress and the events by record. With `is_down` it answers 503."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.is_down = False
        self.events: dict[str, list[str]] = {}
        self.refused = Counter[str]()
        self.url = ""
        self.statuses: list[int] = []

    async def answer(self, request: web.Request) -> web.Response:
        if self.is_down:
            self.refused[request.path] += 1
            return web.Response(status=502)
        if self.statuses and (status := self.statuses.pop(0)) >= 300:
            self.refused[request.path] += 1
            return web.Response(status=status)
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.002)
        self.events.setdefault(request.path[1:], []).append((await request.json())["event"])
        self.now -= 1
        return web.json_response({})


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    made, app = Target(), web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


async def test_three_workers_never_exceed_the_limit_of_a_destination(
    make_settings: Callable[..., Settings], target: Target
) -> None:
    async with AsyncExitStack() as stack:
        harnesses = [await stack.enter_async_context(open_harness(make_settings())) for _ in range(3)]
        for harness in harnesses:
            harness.declare(erp={"url": target.url, "limits": {"in_flight": IN_FLIGHT}})
        await harnesses[0].publish(RULE)
        for harness in harnesses[1:]:
            await harness.dependencies.rules.refresh()
        for number in range(EVENTS):
            await harnesses[0].send(f"po-{number}")
        # Each worker has its own name, since the store keeps the last claim of each name.
        workers = [harness.worker(f"w{number}", burst=True) for number, harness in enumerate(harnesses)]
        recovery = asyncio.create_task(run_recovery(Shards([harnesses[0].store]), dict, RECOVERY_SECONDS))
        async with asyncio.timeout(5 * PATIENCE_SECONDS):  # hundreds of events, which a busy disk delays
            await asyncio.gather(*(worker.async_run() for worker in workers))
        recovery.cancel()
        for worker in workers:
            await worker.close()
    assert target.most <= IN_FLIGHT
    assert sum(map(len, target.events.values())) == EVENTS
    assert max(map(len, target.events.values())) == 1


async def test_effects_are_counted_by_destination(make_settings: Callable[..., Settings], target: Target) -> None:
    async with open_harness(make_settings()) as harness:
        harness.declare(counted={"url": target.url})
        await harness.publish(RULE.replace("erp", "counted"))
        await harness.send()
        await harness.run_worker()
        (line,) = harness.log_lines("action.finished")
    assert line["destination_name"] == "counted"
    assert EFFECTS.values["all", "http", "counted", "ok", None] == 1
    assert sum(EFFECT_SECONDS.series["http", "counted"][:-1]) == 1


async def test_destination_that_was_down_for_three_days_receives_everything_in_order(
    make_settings: Callable[..., Settings], target: Target
) -> None:
    async with open_harness(make_settings(wake_timeout_seconds=0.05, backoff_base_seconds=0.01)) as harness:
        breaker = {"failures": 2, "open_seconds": 0.1, "open_seconds_max": 0.2}
        harness.declare(erp={"url": target.url, "circuit_breaker": breaker})
        await harness.publish(RULE)
        target.is_down = True
        sent: dict[str, list[str]] = {f"po-{number}": [] for number in range(1, 6)}
        for _ in range(3):
            for record, ids in sent.items():
                ids.append(await harness.send(record))
        working = asyncio.create_task(harness.run_worker())
        await until(lambda: sum(target.refused.values()) > 2)  # the circuit is open, and all events are parked
        for ids in sent.values():
            for event_id, day in zip(ids, (4.0, 2.99, 0.5), strict=True):
                await age(harness, event_id, day)
        probes = sum(target.refused.values())
        await until(lambda: sum(target.refused.values()) > probes + 3)  # they go on failing, and end no event
        target.is_down = False
        await working
        stored = [await harness.stored_event(event_id) for ids in sent.values() for event_id in ids]
    assert {each["state"] for each in stored} == {"ended"}
    assert target.events == sent


@pytest.mark.parametrize(
    ("status", "repeat", "state"),
    [
        (460, "unsafe", "ended"),  # the target did not perform the request
        (461, "unsafe", "dead"),  # the target may have performed it
        (461, "keyed", "ended"),
        (462, "keyed", "dead"),  # neither list names it
    ],
)
async def test_statuses_of_the_retry_policy_decide_about_unsafe_effects(
    make_settings: Callable[..., Settings], target: Target, status: int, repeat: str, state: str
) -> None:
    async with open_harness(make_settings(backoff_base_seconds=0.02)) as harness:
        harness.declare(erp={"url": target.url, "retry": {"statuses": [460], "ambiguous_statuses": [461]}})
        await harness.publish(RULE.replace("do: http", f"do: http, repeat: {repeat}"))
        target.statuses = [status]
        event_id = await harness.send("po-1")
        await harness.run_worker()
        stored = await harness.stored_event(event_id)
    assert (stored["state"], len(target.events.get("po-1", ()))) == (state, int(state == "ended"))
    if repeat == "unsafe" and state == "dead":
        assert any(line.get("error_kind") == "outcome_unknown" for line in stored["history"])


@pytest.mark.parametrize("ordered", [True, False])
async def test_effects_of_a_destination_without_order_do_not_wait(
    settings: Settings,
    target: Target,
    ordered: bool,  # noqa: FBT001
) -> None:
    async with open_harness(settings) as harness:
        harness.declare(erp={"url": target.url, "ordered": ordered})
        await harness.publish(RULE)
        first, second = [await harness.send("po-1") for _ in range(2)]
        target.statuses = [500]  # the first effect waits for its retry
        await harness.run_worker()
    assert target.events["po-1"] == ([first, second] if ordered else [second, first])


async def age(harness: WorkerHarness, event_id: str, days: float) -> None:
    """Let an event be received earlier."""
    await harness.store.client.command("ZINCRBY", "wb:open", -int(days * DAY_MS), event_id)
