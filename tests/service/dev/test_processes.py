"""Child processes of `dev` and `demo`, and their output."""

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

PROGRAM = """
import sys, time
print("not JSON")
print('[1]')
print('{"event": "one"}', flush=True)
sys.stdout.write('{"event": "ha'); sys.stdout.flush()
time.sleep({pause})
print('lf"}', flush=True)
sys.stderr.write("end of stderr")
sys.exit(3)
"""


def start_program(tmp_path: Path, pause: float) -> ChildProcess:
    output, errors = tmp_path / "out", tmp_path / "err"
    with output.open("wb") as out, errors.open("wb") as err:
        code = PROGRAM.replace("{pause}", str(pause))
        process = subprocess.Popen([sys.executable, "-c", code], stdout=out, stderr=err)
    return ChildProcess("program", process, output, errors)


def test_a_process_that_ends_while_waiting_is_an_error_with_its_output(tmp_path: Path) -> None:
    child = start_program(tmp_path, 0)
    with pytest.raises(SubprocessFailed, match=r"program ended with exit code 3\n(.|\n)*end of stderr"):
        child.wait_for(lambda line: line["event"] == "never", 10)


def test_a_timeout_while_waiting_is_an_error(tmp_path: Path) -> None:
    child = start_program(tmp_path, 30)
    with pytest.raises(SubprocessFailed, match=r"program: timeout after 0\.2 s"):
        child.wait_for(lambda line: line["event"] == "half", 0.2)
    child.kill()


def test_complete_json_lines_are_returned_once(tmp_path: Path) -> None:
    child = start_program(tmp_path, 2)
    assert child.wait_for(lambda line: line["event"] == "one", 10) == {"event": "one"}
    assert child.new_lines() == [{"event": "one"}]
    assert child.new_lines() == []
    child.process.wait(60)
    assert child.new_lines() == [{"event": "half"}]
    assert [line["event"] for line in child.lines()] == ["one", "half"]


def test_a_command_writes_its_output_to_files(tmp_path: Path) -> None:
    child = start_child("version", ["--version"], dict(os.environ), tmp_path)
    assert child.process.wait(20) == 0
    assert (tmp_path / "version.jsonl").read_text().startswith("waybill ")


def test_logs_of_earlier_runs_stay_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.dev.workspace.LOG_BYTES_MAX", 100)
    logs = make_workspace(tmp_path).logs
    earlier = '{"message": "process.started"}\n'
    (logs / "version.jsonl").write_text(earlier)
    (logs / "worker-1.jsonl").write_text(earlier * 4)
    child = start_child("version", ["--version"], dict(os.environ), make_workspace(tmp_path).logs)
    with pytest.raises(SubprocessFailed, match=r"exit code 0\nwaybill \S+$"):
        child.wait_for(lambda line: line.get("message") == "process.started", 60)
    assert (logs / "version.jsonl").read_text().startswith(earlier + "waybill ")
    assert (logs / "worker-1.jsonl.1").read_text() == earlier * 4
    assert not (logs / "worker-1.jsonl").exists()


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('{}', flush=True); time.sleep(60)"
    output, errors = tmp_path / "out", tmp_path / "err"
    errors.touch()
    with output.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=out)
    child = ChildProcess("program", process, output, errors)
    child.wait_for(lambda line: line == {}, 10)
    child.stop(timeout_seconds=0.2)
    assert process.returncode == -9


def test_a_timeout_names_the_condition() -> None:
    with pytest.raises(SubprocessFailed, match=r"timeout after 0\.05 s: end of event"):
        wait_until(lambda: False, 0.05, "end of event")


async def test_a_request_that_the_sandbox_rejects_is_an_error() -> None:
    async with running_sandbox() as handle:
        client = SandboxClient(handle.url)
        with pytest.raises(SandboxError, match="404"):
            await asyncio.to_thread(client.put_record, Seed("pack_cloud", "no-such-kind", "1", {}))
        with pytest.raises(SandboxError, match="400"):
            await asyncio.to_thread(client.add_fault, FaultRequest("/", times=0))
        assert await asyncio.to_thread(client.pending_fault_count) == 0


async def test_the_workspace_uses_paths_and_token_of_the_sandbox(tmp_path: Path) -> None:
    async with running_sandbox() as handle:
        workspace = make_workspace(tmp_path)
        write_config(workspace, handle.url, "smtp://127.0.0.1:2525")
        text = workspace.config.read_text()
        assert f'base_url: "{handle.base_url("pack_cloud")}"' in text
        assert f'base_url: "{handle.base_url("flow_retail")}"' in text
        assert workspace.secrets[PLATFORM_TOKEN] == handle.token
