"""arq's own command line runs a worker, with functions of another package, and checks its health."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from arq.connections import RedisSettings, create_pool
from arq.jobs import Job

from service.errors import ConfigError
from service.store.queue.arq_jobs import decode_payload, encode
from tests.one_shard import ONE_SHARD, one_shard_settings
from tests.waiting import PATIENCE_SECONDS, until
from tests.workers.harness import SINK_RULE, WorkerHarness, open_harness
from workers.functions import load_functions

pytestmark = pytest.mark.store

CONFIG = """
platforms:
  pack: {kind: pack_cloud, organization_id: org_1, token: {env: PACK_TOKEN}, base_url: "BASE_URL"}
sources:
  shop: {platform: pack, verify: {scheme: bearer, secrets: [{env: PACK_TOKEN}]}}
outbound: {allow_private_hosts: [127.0.0.1]}
"""
FUNCTIONS = """
from arq import Retry, func

async def double(ctx, value):
    if ctx["job_try"] == 1:
        raise Retry(defer=0.01)
    return value * 2

async def fail(ctx):
    raise ValueError("no")

FUNCTIONS = [double, func(fail, max_tries=1)]
TAKEN = [func(double, name="process_lane")]
ENDLESS = [func(double, keep_result_forever=True)]
NOT_ASYNC = [print]
NUMBER = 7
"""


class ArqCommandLine:
    """Runs `arq` in a folder with a waybill.yaml and a package that registers functions."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.folder = folder
        self.environ = os.environ | ONE_SHARD | {
            "WAYBILL_REDIS_URL": redis_url, "WAYBILL_CONFIG": str(folder / "waybill.yaml"), "WAYBILL_HOST": "127.0.0.1",
            "WAYBILL_ADMIN_PORT": "0", "PYTHONPATH": str(folder),
        }  # fmt: skip
        (folder / "extra_package.py").write_text(FUNCTIONS)
        (folder / "extra_package-1.0.dist-info").mkdir()
        (folder / "extra_package-1.0.dist-info" / "METADATA").write_text("Name: extra-package\nVersion: 1.0\n")
        self.register("FUNCTIONS")

    def configure(self, base_url: str, token: str) -> None:
        (self.folder / "waybill.yaml").write_text(CONFIG.replace("BASE_URL", base_url))
        self.environ["PACK_TOKEN"] = token

    def register(self, name: str) -> None:
        entry = f"[waybill.functions]\nextra = extra_package:{name}\n"
        (self.folder / "extra_package-1.0.dist-info" / "entry_points.txt").write_text(entry)

    def run(self, *options: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "arq", "workers.settings.WorkerSettings", *options]
        return subprocess.run(
            command, env=self.environ, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
        )

    @contextmanager
    def running(self) -> Generator["subprocess.Popen[str]"]:
        command = [sys.executable, "-m", "arq", "workers.settings.WorkerSettings"]
        with subprocess.Popen(command, env=self.environ, stdout=subprocess.PIPE, text=True) as process:
            yield process
            process.kill()


@pytest.fixture
async def harness(valkey_url: str) -> AsyncIterator[WorkerHarness]:
    async with open_harness(one_shard_settings({"WAYBILL_REDIS_URL": valkey_url})) as opened:
        await opened.publish(SINK_RULE)
        yield opened


@pytest.fixture
def arq(packages: Path, valkey_url: str) -> ArqCommandLine:
    return ArqCommandLine(packages, valkey_url)


def read_lines(stdout: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in stdout.splitlines()]


@pytest.mark.slow
async def test_burst_runs_events_and_functions_of_another_package(arq: ArqCommandLine, harness: WorkerHarness) -> None:
    arq.configure(harness.sandbox.base_url("pack_cloud"), harness.sandbox.token)
    event_id = await harness.send()
    redis = await create_pool(
        RedisSettings.from_dsn(harness.settings.redis_url),
        job_serializer=encode,
        job_deserializer=decode_payload,
        default_queue_name=harness.settings.queue,
    )
    double = await redis.enqueue_job("double", 21)
    await redis.enqueue_job("fail", _job_id="f1")
    done = await asyncio.to_thread(arq.run, "--burst")
    assert done.returncode == 0, done.stderr
    assert isinstance(double, Job)
    assert await double.result(timeout=PATIENCE_SECONDS) == 42
    assert len(harness.sink_bodies()) == 1
    assert (await harness.stored_event(event_id))["state"] == "ended"
    lines = {line["message"]: line for line in read_lines(done.stdout)}
    assert lines["process.stopped"]["jobs"] == 4  # double runs twice
    assert (lines["job.dead_lettered"]["job"], lines["job.dead_lettered"]["reason"]) == ("f1", "ValueError: no")
    await redis.aclose()


@pytest.mark.slow
async def test_check_succeeds_while_a_worker_runs(arq: ArqCommandLine, harness: WorkerHarness) -> None:
    arq.configure(harness.sandbox.base_url("pack_cloud"), harness.sandbox.token)
    assert (await asyncio.to_thread(arq.run, "--check")).returncode == 1
    with arq.running() as process:

        async def has_health() -> bool:
            return bool(await harness.store.client.command("EXISTS", f"{harness.settings.queue}:health-check"))

        await until(has_health)
        done = await asyncio.to_thread(arq.run, "--check")
        assert (done.returncode, "j_complete=0 j_failed=0" in done.stderr) == (0, True), done.stderr
        process.send_signal(signal.SIGTERM)
        stdout, _ = await asyncio.to_thread(process.communicate, timeout=PATIENCE_SECONDS)
        assert process.returncode == 0
    assert [line["reason"] for line in read_lines(stdout) if line["message"] == "process.stopping"] == ["SIGTERM"]


@pytest.mark.parametrize(
    ("registered", "reason"),
    [
        ("TAKEN", "the function name process_lane is taken"),
        ("ENDLESS", "double has keep_result_forever"),
        ("NOT_ASYNC", "<built-in function print> is not a coroutine function"),
        ("NUMBER", "extra_package:NUMBER is not a sequence of functions"),
        ("MISSING", "extra_package:MISSING cannot be imported"),
    ],
)
def test_invalid_functions_are_rejected(arq: ArqCommandLine, registered: str, reason: str) -> None:
    arq.register(registered)
    with pytest.raises(ConfigError, match=f"^entry point waybill.functions.extra: {re.escape(reason)}.*Fix: "):
        load_functions()


@pytest.mark.slow
def test_invalid_setting_ends_the_process_with_one_line(arq: ArqCommandLine) -> None:
    arq.environ["WAYBILL_CONCURENCY"] = "3"
    done = arq.run("--check")
    (line,) = read_lines(done.stdout)
    assert (done.returncode, line["message"]) == (1, "process.failed")
    assert "did you mean WAYBILL_CONCURRENCY" in str(line["error_message"])
