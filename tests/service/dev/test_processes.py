"""Child processes as `dev` and `demo` start them, and what is read of their output."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.dev.demo import wait_until
from service.dev.processes import ChildProcess, SubprocessFailed, start_child
from service.dev.sandbox_client import FaultRequest, SandboxClient, SandboxError, Seed
from service.dev.workspace import PLATFORM_TOKEN, make_workspace, write_config
from service.sandbox.server import running_sandbox

pytestmark = pytest.mark.slow

TALK = """
import sys, time
print("no json")
print('[1]')
print('{"event": "one"}', flush=True)
sys.stdout.write('{"event": "ha'); sys.stdout.flush()
time.sleep({pause})
print('lf"}', flush=True)
sys.stderr.write("its last words")
sys.exit(3)
"""


def talking(tmp_path: Path, pause: float) -> ChildProcess:
    output, errors = tmp_path / "out", tmp_path / "err"
    with output.open("wb") as out, errors.open("wb") as err:
        code = TALK.replace("{pause}", str(pause))
        process = subprocess.Popen([sys.executable, "-c", code], stdout=out, stderr=err)
    return ChildProcess("talker", process, output, errors)


def test_a_child_that_ends_before_it_says_it_fails_with_its_last_words(tmp_path: Path) -> None:
    child = talking(tmp_path, 0)
    with pytest.raises(SubprocessFailed, match=r"talker ended with exit code 3\n(.|\n)*its last words"):
        child.wait_for(lambda line: line["event"] == "never", 10)


def test_a_child_that_says_nothing_in_time_fails(tmp_path: Path) -> None:
    child = talking(tmp_path, 30)
    with pytest.raises(SubprocessFailed, match=r"talker said nothing of it in 0\.2 s"):
        child.wait_for(lambda line: line["event"] == "half", 0.2)
    child.kill()


def test_lines_are_given_once_whole_and_without_what_is_no_json_object(tmp_path: Path) -> None:
    child = talking(tmp_path, 2)
    assert child.wait_for(lambda line: line["event"] == "one", 10) == {"event": "one"}
    assert child.new_lines() == [{"event": "one"}]
    assert child.new_lines() == []
    child.process.wait(60)
    assert child.new_lines() == [{"event": "half"}]
    assert [line["event"] for line in child.lines()] == ["one", "half"]


def test_a_command_is_started_with_its_output_in_files(tmp_path: Path) -> None:
    child = start_child("version", ["--version"], dict(os.environ), tmp_path)
    assert child.process.wait(20) == 0
    assert (tmp_path / "version.jsonl").read_text().startswith("waybill ")


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('{}', flush=True); time.sleep(60)"
    output, errors = tmp_path / "out", tmp_path / "err"
    errors.touch()
    with output.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=out)
    child = ChildProcess("deaf", process, output, errors)
    child.wait_for(lambda line: line == {}, 10)
    child.stop(seconds_max=0.2)
    assert process.returncode == -9


def test_waiting_in_vain_says_for_what() -> None:
    with pytest.raises(SubprocessFailed, match=r"waited 0\.05 s in vain for the end"):
        wait_until(lambda: False, 0.05, "the end")


async def test_a_switch_that_the_sandbox_refuses_is_told() -> None:
    async with running_sandbox() as handle:
        switches = SandboxClient(handle.url)
        with pytest.raises(SandboxError, match="404"):
            await asyncio.to_thread(switches.put_record, Seed("pack_cloud", "no-such-kind", "1", {}))
        with pytest.raises(SandboxError, match="400"):
            await asyncio.to_thread(switches.add_fault, FaultRequest("/", times=0))
        assert await asyncio.to_thread(switches.faults_waiting) == 0


async def test_the_workspace_knows_the_sandbox_s_paths_and_token(tmp_path: Path) -> None:
    async with running_sandbox() as handle:
        workspace = make_workspace(tmp_path)
        write_config(workspace, handle.url)
        text = workspace.config.read_text()
        assert f'base_url: "{handle.base_url("pack_cloud")}"' in text
        assert f'base_url: "{handle.base_url("flow_retail")}"' in text
        assert workspace.secrets[PLATFORM_TOKEN] == handle.token
