"""Destinations in workers: a shared limit, an outage of three days, unknown results, order, and hidden secrets."""

import asyncio
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest
from aiohttp import web

from service.metrics.families import EFFECT_SECONDS, EFFECTS
from service.settings import Settings
from service.store import Shards
from tests.waiting import PATIENCE_SECONDS, until
from tests.workers.harness import WorkerHarness, open_harness
from workers.recovery import run_recovery

pytestmark = [pytest.mark.store, pytest.mark.slow]

RULE = """
- id: all
  type: purchase_order
  actions: [{id: claim, do: http, destination: erp, path: "/{id}", body: {event: "{event.id}"}}]
"""
EVENTS, IN_FLIGHT = 1_000, 4
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
            repeated = f"{dict(request.headers)} {request.path_qs} {await request.text()}"
            return web.Response(status=status, text=f"wrong credentials: {repeated}")
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
        recovery = asyncio.create_task(run_recovery(Shards([harnesses[0].store]), dict))
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
    settings: Settings, target: Target, status: int, repeat: str, state: str
) -> None:
    async with open_harness(settings) as harness:
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


WEBHOOK_RULE = "[{id: all, type: purchase_order, actions: [{id: claim, do: webhook, destination: erp}]}]"
OAUTH = {"type": "oauth2_client_credentials", "client_id": {"env": "ID"}, "client_secret": {"env": "SECRET"}}
BASIC = {"type": "basic", "username": "shop", "password": {"env": "BASIC"}}
HMAC = {"scheme": "hmac", "secret": {"env": "HMAC"}, "header": "X-Sig", "signed": "{timestamp}.{body}",
        "timestamp_header": "X-Time"}  # fmt: skip


@pytest.mark.parametrize("kind", ["oauth", "basic", "hmac", "proxy", "webhook"])
async def test_no_secret_of_any_kind_is_stored_logged_or_shown(settings: Settings, target: Target, kind: str) -> None:
    planted = {name: f"planted-{name.lower()}-4711" for name in ("ID", "SECRET", "BASIC", "HMAC", "PROXY")}
    planted["WHSEC"] = "cGxhbnRlZC1zaWduaW5nLXNlY3JldC00NzEx"
    proxy = target.url.replace("//", f"//u:{planted['PROXY']}@")
    environ = {**planted, "WHSEC": f"whsec_{planted['WHSEC']}", "PROXY": proxy}
    config: dict[str, Any] = {
        "oauth": {"auth": OAUTH | {"token_url": f"{target.url}/token"}},
        "basic": {"auth": BASIC},
        "hmac": {"signature": HMAC},
        "proxy": {"proxy": {"env": "PROXY"}},
        "webhook": {"kind": "webhook", "secrets": [{"env": "WHSEC"}]},
    }[kind]
    async with open_harness(settings) as harness:
        harness.declare(environ, erp={"url": target.url, **config})
        await harness.publish(RULE if kind != "webhook" else WEBHOOK_RULE)
        target.statuses = [500] + [422] * 5
        event_id = await harness.send("po-1")
        await harness.run_worker()
        destination = harness.dependencies.effects.resources["destinations"].by_name["erp"]
        probe = (
            "" if kind == "oauth" else repr(await destination.probe("GET", "/x"))
        )  # without a token there is no call
        texts = [probe, *await everything_stored(harness, event_id)]
    assert sum(target.refused.values()) > 1
    for name, user in (("BASIC", "shop"), ("PROXY", "u")):
        planted[f"{name} in Base64"] = b64encode(f"{user}:{planted[name]}".encode()).decode()
    assert [name for name in planted if any(planted[name] in text for text in texts)] == []


async def everything_stored(harness: WorkerHarness, event_id: str) -> list[str]:
    """Return the history of an event, all log lines, and a dump of each key of the store."""
    keys = await harness.store.client.command("KEYS", "*")
    dumps = [await harness.store.client.command("DUMP", key) for key in keys]
    return [str(await harness.stored_event(event_id)), str(harness.lines), *map(repr, dumps)]


async def test_no_secret_is_stored_logged_or_shown(settings: Settings, target: Target) -> None:
    planted = {name: f"planted-{name.lower()}-4711" for name in ("TOKEN", "HEADER", "PATH", "QUERY")}
    environ = {**planted, "URL": f"{target.url}/{planted['PATH']}?sig={planted['QUERY']}"}
    async with open_harness(settings) as harness:
        harness.declare(
            environ,
            erp={"url": {"env": "URL"}, "auth": {"type": "bearer", "token": {"env": "TOKEN"}},
                 "headers": {"X-Tenant": {"env": "HEADER"}}},
        )  # fmt: skip
        await harness.publish(RULE)
        target.statuses = [500, 422]  # both answers repeat the request with its secrets
        event_id = await harness.send("po-1")
        await harness.run_worker()
        stored = await harness.stored_event(event_id)
        texts = await everything_stored(harness, event_id)
        destinations = harness.dependencies.effects.resources["destinations"]
        target.statuses = [422]
        probe = await destinations.by_name["erp"].probe("GET", "/x")
        shown = [*texts, repr(probe), repr(msgspec.to_builtins(probe))]
    assert stored["state"] == "dead"
    assert "wrong credentials" in str(stored["history"])
    assert probe.status == 422
    assert {secret for secret in planted.values() for text in shown if secret in text} == set()


async def age(harness: WorkerHarness, event_id: str, days: float) -> None:
    """Let an event be received earlier."""
    await harness.store.client.command("ZINCRBY", "wb:open", -int(days * DAY_MS), event_id)
