"""Pods that end, are killed and are replaced, and a store that fails over: nothing acknowledged is lost.

Only when named, as tests/image/live.py.
"""

import asyncio
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from service.sandbox.faults import Fault
from service.sandbox.server import SandboxHandle
from tests.helm.rendering import render
from tests.image.conftest import values_for
from tests.image.node import Balancer, Node, Pod, podman
from tests.image.sending import acted, post, post_steadily, until
from tests.image.sentinels import Sentinels

LOAD_PER_SECOND = 40

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


async def test_sigterm_lets_a_worker_finish_what_it_began(node: Node, sandbox: SandboxHandle) -> None:
    service, workers = await asyncio.gather(node.start("service"), node.start("workers"))
    await node.run_job()
    sandbox.sandbox.faults.add(Fault(match="/pack_cloud", delay_ms=3_000))
    async with aiohttp.ClientSession() as session:
        assert await post(session, f"http://127.0.0.1:{service.port}", "po-slow") == 202
    await until(lambda: not sandbox.sandbox.faults.waiting)
    seconds = await node.stop(workers)
    assert acted(sandbox)["po-slow"] == 1
    assert node.exit_code(workers) == 0
    assert 1 < seconds < 10
    events = [line["message"] for line in workers.lines()]
    assert events.index("process.stopping") < events.index("attempt.finished") < events.index("process.stopped")


@pytest.mark.parametrize("chosen", [{"settings": {"lease_seconds": 6}}], ids=["short leases"])
async def test_a_killed_worker_s_event_is_finished_by_another(node: Node, sandbox: SandboxHandle) -> None:
    service, first = await asyncio.gather(node.start("service"), node.start("workers"))
    await node.run_job()
    sandbox.sandbox.faults.add(Fault(match="/pack_cloud", delay_ms=20_000))
    async with aiohttp.ClientSession() as session:
        assert await post(session, f"http://127.0.0.1:{service.port}", "po-killed") == 202
    await until(lambda: not sandbox.sandbox.faults.waiting)
    podman("kill", first.container)
    await node.start("workers")
    await until(lambda: acted(sandbox)["po-killed"] == 1, seconds=30)


async def test_a_store_that_fails_over_keeps_what_was_acknowledged(
    sandbox: SandboxHandle, tmp_path: Path, figures: list[str]
) -> None:
    """As in docs/how-to/kubernetes.md: a primary, two replicas, three sentinels, passwords, durability replica."""
    with Sentinels(tmp_path) as store:
        redis = {"existingSecret": {"name": "waybill-redis"}, "sentinel": {"hosts": store.addresses}}
        chosen: dict[str, Any] = values_for(sandbox) | {"redis": redis}
        node = Node(render("sentinel", chosen), tmp_path, {"waybill-redis": store.secret})
        try:
            service, _ = await asyncio.gather(node.start("service"), node.start("workers"))
            await node.run_job()
            url = f"http://127.0.0.1:{service.port}"
            sent = await _through_a_failover(url, store, figures)
            await until(lambda: len(acted(sandbox)) == len(sent), seconds=30)
            assert set(acted(sandbox)) == set(sent)
            assert set(acted(sandbox).values()) == {1}
        finally:
            await asyncio.to_thread(node.close)


async def _through_a_failover(url: str, store: Sentinels, figures: list[str]) -> list[str]:
    """Send before, and right after the primary is gone as a sender does: again, until it is answered 202."""
    sent = [f"po-before-{number}" for number in range(20)]
    async with aiohttp.ClientSession() as session:
        for record in sent:
            assert await post(session, url, record) == 202
        before = store.primary()
        assert str(before) in store.type_before()
        store.kill(before)
        began, refusals = time.monotonic(), 0
        while await post(session, url, "po-after") != 202:
            refusals += 1
            assert time.monotonic() - began < 60
        took = time.monotonic() - began
    assert str(before) not in store.type_after()
    result = f"was answered 202 after {took:.1f} s, {refusals} times 503 before"
    figures.append(f"failover: a delivery sent as the primary died {result}")
    return [*sent, "po-after"]


async def test_a_rolling_restart_under_load_loses_nothing_and_refuses_nobody(
    node: Node, sandbox: SandboxHandle, figures: list[str]
) -> None:
    service = [await node.start("service") for _ in range(2)]
    workers = [await node.start("workers") for _ in range(2)]
    await node.run_job()
    # so slow that some twenty attempts are under way in each worker at SIGTERM: with few, one has none by chance
    slow = Fault(match="/pack_cloud", times=100_000, delay_ms=1_000)
    sandbox.sandbox.faults.add(slow)
    replaced = asyncio.Event()
    async with Balancer() as balancer:
        balancer.endpoints = [pod.port for pod in service]
        sending = asyncio.create_task(post_steadily(balancer.url, LOAD_PER_SECOND, replaced))
        await asyncio.gather(replace_service(node, service, balancer), replace_workers(node, workers))
        replaced.set()
        answers, took = await sending
    rejected = {record: status for record, status in answers.items() if status != 202}
    assert rejected == {}
    await until(lambda: len(acted(sandbox)) == len(answers), seconds=60)
    assert set(acted(sandbox).values()) == {1}
    assert all(node.exit_code(pod) == 0 for pod in (*service, *workers))
    drained = [ended_after_sigterm(pod) for pod in workers]
    assert all(drained)
    p50, slowest = (1000 * took[at] for at in (len(took) // 2, -1))
    figures.append(
        f"rolling restart of 2 + 2 pods: {len(answers)} deliveries at {LOAD_PER_SECOND} a second, all answered 202 "
        f"(p50 {p50:.0f} ms, slowest {slowest:.0f} ms), each acted on once; {sum(drained)} attempts ended after SIGTERM"
    )


def ended_after_sigterm(pod: Pod) -> int:
    events = [line["message"] for line in pod.lines()]
    return events[events.index("process.stopping") :].count("attempt.finished")


async def replace_service(node: Node, pods: list[Pod], balancer: Balancer) -> None:
    """As the Deployment does: one more, ready, into the endpoints; then one out of them, and stopped."""
    for old in pods:
        new = await node.start("service")
        balancer.endpoints = [*balancer.endpoints, new.port]
        balancer.endpoints = [port for port in balancer.endpoints if port != old.port]
        await node.stop(old)


async def replace_workers(node: Node, pods: list[Pod]) -> None:
    for old in pods:
        await node.start("workers")
        await node.stop(old)
