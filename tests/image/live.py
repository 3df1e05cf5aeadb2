"""The image and the rendered pods, really run. Only when named, since it needs root, podman and the image.

tests/image/build && .venv/bin/python -m tests.helm.tools && .venv/bin/pytest tests/image/live.py
"""

import asyncio
import hashlib
import hmac
import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import redis

from service.dev.embedded import get_binary_path
from service.sandbox.faults import Fault
from service.sandbox.server import SandboxHandle, running_sandbox
from tests.helm.rendering import render
from tests.image.node import Balancer, Node, Pod, free_ports, podman

IMAGE = "localhost/waybill:test"
LOCKED = ("--rm", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none")
SECRET = "s3cret"
LOAD_SECONDS = 12.0
LOAD_PER_SECOND = 40

pytestmark = pytest.mark.timeout(240)


# the image


def shell(script: str, *options: str) -> str:
    return podman("run", *LOCKED, *options, "--entrypoint", "/bin/sh", IMAGE, "-c", script)


def test_the_image_says_what_it_is() -> None:
    (shown,) = json.loads(podman("image", "inspect", IMAGE))
    config = shown["Config"]
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["waybill"]
    assert set(config["ExposedPorts"]) == {"8080/tcp", "8081/tcp"}
    labels = {name.removeprefix("org.opencontainers.image.") for name in config["Labels"]}
    assert {"title", "description", "licenses", "version", "revision"} <= labels


def test_it_adds_little_to_its_base() -> None:
    base = "docker.io/library/python:3.13-slim-trixie"
    whole, below = (int(podman("image", "inspect", "--format", "{{.Size}}", name)) for name in (IMAGE, base))
    assert whole - below < 130_000_000


def test_it_runs_as_nobody_without_capabilities_on_a_root_it_cannot_write() -> None:
    said = shell("id -u; grep -E 'CapEff|NoNewPrivs' /proc/self/status; touch /x 2>&1; touch /tmp/y && echo tmp")
    assert said.splitlines()[0] == "10001"
    assert re.search(r"CapEff:\s+0{16}\n", said)
    assert re.search(r"NoNewPrivs:\s+1\n", said)
    assert "Read-only file system" in said
    assert said.endswith("tmp\n")


def test_nothing_that_installs_or_builds_is_in_it() -> None:
    found = shell(
        "for name in pip pip3 gcc cc make git curl wget; do command -v $name; done; ls /opt/waybill/bin; true"
    )
    assert set(found.split()) == {"python", "python3", "python3.13", "waybill"}
    assert shell("find / -xdev -name '.cache' -o -xdev -name '*.whl' -not -path '/usr/share/*' 2>/dev/null; true") == ""


def test_every_module_is_compiled_beforehand() -> None:
    count = "find /opt/waybill/lib -path '*/{}/*' -name '*.{}' | wc -l"
    sources, compiled = (int(shell(count.format("service", end))) for end in ("py", "pyc"))
    assert sources == compiled > 50


@pytest.mark.parametrize("command", ["serve", "work", "check"])
def test_each_command_is_there(command: str) -> None:
    assert command in podman("run", *LOCKED, IMAGE, command, "--help")


def test_it_says_a_mistake_in_the_configuration_and_ends() -> None:
    with pytest.raises(AssertionError, match=r"waybill.yaml: cannot be read"):
        podman("run", *LOCKED, IMAGE, "serve")


# the pods


@pytest.fixture
def store_url(tmp_path: Path) -> Iterator[str]:
    """A real server, started with the arguments of the chart's own trial store."""
    store = render("trial")["StatefulSet/rel-waybill-valkey"]["spec"]["template"]["spec"]["containers"][0]
    arguments = [str(tmp_path) if each == "/data" else each for each in store["args"]]
    port = next(free_ports())
    own = ["--port", str(port), "--bind", "127.0.0.1"]
    with subprocess.Popen([get_binary_path(), *arguments, *own], stdout=subprocess.DEVNULL) as process:
        with redis.Redis(port=port) as client:
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                try:
                    client.ping()  # pyright: ignore[reportUnknownMemberType] - redis-py types it with a hole
                    break
                except redis.ConnectionError:
                    time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
        process.terminate()


@pytest.fixture
async def sandbox() -> AsyncIterator[SandboxHandle]:
    async with running_sandbox() as handle:
        yield handle


@pytest.fixture
def values(store_url: str, sandbox: SandboxHandle) -> dict[str, Any]:
    order = {"order": "{id}"}
    rule = {
        "id": "short-receipt",
        "type": "purchase_order",
        "when": {"any_of": "lines", "where": {"field": "quantity_received", "op": "lt", "ref": "quantity_ordered"}},
        "actions": [{"id": "claim", "do": "http", "url": f"{sandbox.url}/_sandbox/sink/claims", "body": order}],
    }
    return {
        "image": {"repository": "localhost/waybill", "tag": "test", "pullPolicy": "Never"},
        "redis": {"existingSecret": {"name": ""}, "url": store_url},
        "secrets": {"existingSecrets": [], "trial": {"PACK_TOKEN": sandbox.token, "PACK_SECRET": SECRET}},
        "config": {
            "platforms": {"pack": {"base_url": sandbox.base_url("pack_cloud")}},
            "outbound": {"allow_private_hosts": ["127.0.0.1"]},
        },
        "rules": {"files": {"purchase-orders": [rule]}},
        "test": {"source": "pack-orders", "secretEnv": "PACK_SECRET", "body": payload("po-test", "{id}")},
    }


@pytest.fixture
async def node(values: dict[str, Any], tmp_path: Path) -> AsyncIterator[Node]:
    node = Node(render("minimal", values), tmp_path)
    yield node
    await asyncio.to_thread(node.close)


def payload(record_id: str, event_id: str) -> str:
    """What pack.cloud sends when a purchase order was updated."""
    return json.dumps({"event_code": "purchase_order.updated", "id": event_id, "data": {"id": record_id}})


async def post(session: aiohttp.ClientSession, url: str, record_id: str) -> int:
    body = payload(record_id, f"evt-{record_id}").encode()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-Signature": signature, "Content-Type": "application/json"}
    async with session.post(f"{url}/webhooks/pack-orders", data=body, headers=headers) as response:
        await response.read()
        return response.status


def acted(sandbox: SandboxHandle) -> Counter[str]:
    return Counter(json.loads(request.body)["order"] for request in sandbox.sandbox.sink.requests)


async def until(done: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:  # noqa: ASYNC110 - what is waited for is in another process
        await asyncio.sleep(0.05)
    assert done()


async def test_a_signed_delivery_goes_in_and_an_action_comes_out(node: Node, sandbox: SandboxHandle) -> None:
    service, workers = await asyncio.gather(node.start("service"), node.start("workers"))
    await node.run_job()
    url = f"http://127.0.0.1:{service.port}"
    async with aiohttp.ClientSession() as session:
        assert await post(session, url, "po-1") == 202
        await until(lambda: acted(sandbox)["po-1"] == 1)
        forged = {"X-Signature": "00" * 32, "Content-Type": "application/json"}
        async with session.post(f"{url}/webhooks/pack-orders", data=b"{}", headers=forged) as response:
            assert response.status == 401
    assert {line["event"] for line in service.lines()} >= {"process.started", "delivery.received"}
    assert {line["event"] for line in workers.lines()} >= {"record.fetched", "action.finished", "attempt.finished"}


async def test_the_processes_in_the_pods_hold_nothing(node: Node) -> None:
    service = await node.start("service")
    status = podman("exec", service.container, "cat", "/proc/1/status")
    assert re.search(r"CapBnd:\s+0{16}\n", status)
    assert re.search(r"NoNewPrivs:\s+1\n", status)
    assert "Uid:\t10001\t10001" in status
    with pytest.raises(AssertionError, match="Read-only file system"):
        podman("exec", service.container, "touch", "/etc/waybill/x")
    limit = int(podman("inspect", "--format", "{{.HostConfig.Memory}}", service.container))
    assert limit == 384 * 1024 * 1024


@pytest.mark.parametrize("component", ["service", "workers"])
async def test_a_process_starts_within_two_seconds(node: Node, component: str) -> None:
    """The best of three: on a machine that others use as well, the others would be measured otherwise."""
    seconds: list[float] = []
    for _ in range(3):
        pod = await node.start(component)
        began = podman("inspect", "--format", "{{.State.StartedAt.UnixMilli}}", pod.container)
        (started,) = [line["ts"] for line in pod.lines() if line["event"] == "process.started"]
        seconds.append(moment(started) - int(began) / 1000)
    assert min(seconds) < 2.0, seconds


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


async def test_helm_test_posts_a_delivery_and_sees_its_end(node: Node, sandbox: SandboxHandle) -> None:
    service, _ = await asyncio.gather(node.start("service"), node.start("workers"))
    await node.run_job()
    code, said = await node.run_test(f"http://127.0.0.1:{service.port}", f"http://127.0.0.1:{service.admin_port}")
    assert code == 0, said
    assert "ended" in said
    assert acted(sandbox)["po-test"] == 1


async def test_helm_test_fails_where_nobody_works(node: Node) -> None:
    service = await node.start("service")
    await node.run_job()
    node.shorten_test(3)
    code, said = await node.run_test(f"http://127.0.0.1:{service.port}", f"http://127.0.0.1:{service.admin_port}")
    assert code == 1
    assert "did not end well in 3 s" in said


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
    events = [line["event"] for line in workers.lines()]
    assert events.index("process.stopping") < events.index("attempt.finished") < events.index("process.stopped")


async def test_a_killed_worker_s_event_is_finished_by_another(node: Node, sandbox: SandboxHandle) -> None:
    service, first = await asyncio.gather(node.start("service"), node.start("workers"))
    await node.run_job()
    sandbox.sandbox.faults.add(Fault(match="/pack_cloud", delay_ms=20_000))
    async with aiohttp.ClientSession() as session:
        assert await post(session, f"http://127.0.0.1:{service.port}", "po-killed") == 202
    await until(lambda: not sandbox.sandbox.faults.waiting)
    podman("kill", first.container)
    await node.start("workers")
    await until(lambda: acted(sandbox)["po-killed"] == 1, seconds=60)


async def test_a_rolling_restart_under_load_loses_nothing_and_refuses_nobody(
    node: Node, sandbox: SandboxHandle
) -> None:
    service = [await node.start("service") for _ in range(2)]
    workers = [await node.start("workers") for _ in range(2)]
    await node.run_job()
    async with Balancer() as balancer:
        balancer.endpoints = [pod.port for pod in service]
        sending = asyncio.create_task(send_steadily(balancer.url))
        await asyncio.gather(replace_service(node, service, balancer), replace_workers(node, workers))
        answers = await sending
    refused = {record: status for record, status in answers.items() if status != 202}
    assert refused == {}
    await until(lambda: len(acted(sandbox)) == len(answers), seconds=60)
    assert set(acted(sandbox).values()) == {1}
    assert all(node.exit_code(pod) == 0 for pod in (*service, *workers))


async def send_steadily(url: str) -> dict[str, int]:
    """Send a new order's delivery some forty times a second; give each one's answer, 0 where there was none."""
    answers: dict[str, int] = {}

    async def send(session: aiohttp.ClientSession, record_id: str) -> None:
        try:
            answers[record_id] = await post(session, url, record_id)
        except aiohttp.ClientError:
            answers[record_id] = 0

    each_its_own = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=each_its_own) as session, asyncio.TaskGroup() as group:
        for number in range(int(LOAD_SECONDS * LOAD_PER_SECOND)):
            group.create_task(send(session, f"po-load-{number}"))
            await asyncio.sleep(1 / LOAD_PER_SECOND)
    return answers


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
