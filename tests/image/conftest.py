"""What the live tests share: a real store, a platform that answers, the chart's values, a node that runs its pods."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from service.dev.embedded_valkey import get_binary_path
from service.sandbox.server import SandboxHandle, running_sandbox
from tests.helm import guide
from tests.helm.rendering import render
from tests.image.node import Node, free_ports
from tests.image.sending import OPERATOR_DIGEST, SECRET, payload

FIGURES: list[str] = []


@pytest.fixture
def figures() -> list[str]:
    """Sentences that the summary prints."""
    return FIGURES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for figure in FIGURES:
        terminalreporter.write_line(figure)


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
    return values_for(sandbox) | {"redis": {"existingSecret": {"name": ""}, "url": store_url}}


def values_for(sandbox: SandboxHandle) -> dict[str, Any]:
    """Values of an installation on that platform, without its store; the guide's rule, and an action to count by."""
    (rule,) = guide.values()["rules"]["files"]["purchase-orders"]
    claim = {"id": "claim", "do": "http", "url": f"{sandbox.url}/_sandbox/sink/claims", "body": {"order": "{id}"}}
    rule["actions"].append(claim)
    secrets = {"PACK_TOKEN": sandbox.token, "PACK_SECRET": SECRET, "OPS_TOKEN_SHA256": OPERATOR_DIGEST}
    return {
        "image": {"repository": "localhost/waybill", "tag": "test", "pullPolicy": "Never"},
        "secrets": {"existingSecrets": [], "trial": secrets},
        "config": {
            "platforms": {"pack": {"base_url": sandbox.base_url("pack_cloud")}},
            "outbound": {"allow_private_hosts": ["127.0.0.1"]},
            "admin": {"tokens": [{"name": "ops", "role": "operator", "sha256": {"env": "OPS_TOKEN_SHA256"}}]},
        },
        "rules": {"files": {"purchase-orders": [rule]}},
        "test": {"source": "pack-orders", "secretEnv": "PACK_SECRET", "body": payload("po-test", "{id}")},
    }


@pytest.fixture
def chosen() -> dict[str, Any]:
    """Values that a test has besides."""
    return {}


@pytest.fixture
async def node(values: dict[str, Any], chosen: dict[str, Any], tmp_path: Path) -> AsyncIterator[Node]:
    node = Node(render("minimal", values | chosen), tmp_path)
    yield node
    await asyncio.to_thread(node.close)
