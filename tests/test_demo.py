"""What `make demo` and `waybill dev` promise, seen from outside: real processes, real signals, nothing left behind."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from service.dev.senders import Request, call, send
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.crash

COMMAND = (sys.executable, "-m", "service")
Seen = TypeVar("Seen")


@pytest.fixture
def environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("WAYBILL_")}


@pytest.fixture
def dev(environ: dict[str, str], tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Start `waybill dev` with its output in `tmp_path / "out"`."""
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen([*COMMAND, "dev"], stdout=out, stderr=out, env=environ)
    yield process
    process.kill()
    process.wait()
    for left in re.findall(r"^files +([^\s:]+):", (tmp_path / "out").read_text(), re.MULTILINE):
        shutil.rmtree(left, ignore_errors=True)  # a killed process removes nothing


def test_the_demo_shows_every_fate_as_expected_and_ends_with_0(environ: dict[str, str]) -> None:
    done = subprocess.run(
        [*COMMAND, "demo"], capture_output=True, text=True, env=environ, check=False, timeout=2 * PATIENCE_SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 of 10 as expected" in done.stdout
    assert "SIGKILL" in done.stdout
    refused = done.stdout.partition("4. the same with a changed body")[2].partition("5. ")[0]
    assert "reason=not_verified" in refused, "each act is shown with its own lines"
    assert "worker-2  attempt.finished  outcome=matched attempt=2" in done.stdout
    assert "NOT OK" not in done.stdout


def test_a_demo_without_a_store_fails_with_what_the_process_said(environ: dict[str, str], free_port: int) -> None:
    environ["WAYBILL_REDIS_URL"] = f"redis://127.0.0.1:{free_port}/0"
    done = subprocess.run(
        [*COMMAND, "demo"], capture_output=True, text=True, env=environ, check=False, timeout=2 * PATIENCE_SECONDS
    )
    assert done.returncode == 1
    assert '"error_kind":"child_failed"' in done.stdout
    assert "waybill rules apply ended with exit code" in done.stdout


def test_dev_takes_the_delivery_it_prints_and_ends_with_all_its_children_on_sigterm(
    dev: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    text = wait_for(lambda: said(tmp_path, "Ctrl-C ends it all."))
    address, source = found(r"curl -X POST (\S+)/webhooks/([\w-]+)", text)
    (signature,) = found(r"X-Signature: (\w+)", text)
    (body,) = found(r"-d '(.+)'", text)
    answer = send(address, Request(source, {"X-Signature": signature}, body.encode()))
    assert (answer.status, answer.body["status"]) == (202, "queued")
    (sink,) = found(r"its sink: (\S+)", text)
    received = wait_for(lambda: call("GET", sink).body["requests"])
    assert msgspec.json.decode(received[0]["body"])["order"] == "po-1"
    children = children_of(dev.pid)
    assert len(children) == 4
    dev.send_signal(signal.SIGTERM)
    assert dev.wait(PATIENCE_SECONDS) == 0
    assert alive(children) == set()
    (directory,) = found(r"files +(\S+):", text)
    assert not Path(directory).exists()


def test_a_second_terminal_finds_what_dev_runs_by_the_file_it_names(
    dev: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    (env,) = found(r"\n  \. (\S+)", wait_for(lambda: said(tmp_path, "Ctrl-C ends it all.")))
    assert Path(env).stat().st_mode & 0o777 == 0o600
    sent = f"{sys.executable} -m service send pack-orders --event purchase_order.updated --id po-1"
    assert "202" in in_shell(f". {env}; {sent}")
    wait_for(lambda: "matched" in in_shell(f". {env}; {sys.executable} -m service events list"))
    assert dev.poll() is None


def test_dev_runs_a_person_s_own_waybill_yaml_with_its_rules(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "waybill.yaml").write_text(OWN_CONFIG)
    (tmp_path / "rules.yaml").write_text("- {id: all, type: customer, actions: [{id: a, do: log, message: hello}]}\n")
    command, secrets = [*COMMAND, "dev", "--config", "waybill.yaml"], {"OWN_SECRET": "s"}
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environ | secrets, cwd=tmp_path)
    try:
        (env,) = found(r"\n  \. (\S+)    # and set", wait_for(lambda: said(tmp_path, "Ctrl-C ends it all.")))
        shell = f". {env}; export OWN_SECRET=s; {sys.executable} -m service"
        assert in_shell(f"{shell} rules list").splitlines()[1].startswith("0\tall\tcustomer")
        assert "202" in in_shell(f"{shell} send crm --event customer.updated --id 7")
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


OWN_CONFIG = """
platforms:
  crm: {kind: custom, base_url: "http://127.0.0.1:1", auth: {type: none}, records: {customer: {path: "/{id}"}}}
sources:
  crm:
    platform: crm
    verify: {scheme: hmac, header: X-Signature, secrets: [{env: OWN_SECRET}]}
    envelope: {kind: custom, id: /id, type: /type, record: {kind: customer, id: /customer}}
rules: [rules.yaml]
"""


def in_shell(script: str) -> str:
    """Run a line as a person in a second terminal would, and give what it says."""
    command = ["/bin/sh", "-c", script]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS, cwd=Path(__file__).parents[1]
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_killed_dev_takes_all_its_children_with_it(dev: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    wait_for(lambda: said(tmp_path, "Ctrl-C ends it all."))
    children = children_of(dev.pid)
    assert len(children) == 4
    dev.kill()
    dev.wait()
    wait_for(lambda: not alive(children))


@pytest.mark.parametrize(
    ("program", "words"),
    [("valkey", "the store ended with exit code -9"), ("work", "worker-1 ended with exit code -9")],
)
def test_dev_ends_with_1_and_says_which_part_ended_by_itself(
    dev: "subprocess.Popen[bytes]", tmp_path: Path, program: str, words: str
) -> None:
    wait_for(lambda: said(tmp_path, "Ctrl-C ends it all."))
    os.kill(next(pid for pid in children_of(dev.pid) if runs(pid, program)), signal.SIGKILL)
    assert dev.wait(PATIENCE_SECONDS) == 1
    assert words in (tmp_path / "out").read_text()


def wait_for(look: Callable[[], Seen]) -> Seen:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (seen := look()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return seen


def said(tmp_path: Path, words: str) -> str:
    text = (tmp_path / "out").read_text()
    return text if words in text else ""


def found(pattern: str, text: str) -> tuple[str, ...]:
    match = re.search(pattern, text)
    assert match, text
    return match.groups()


def children_of(parent: int) -> set[int]:
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return {int(pid) for pid in listed}


def runs(pid: int, program: str) -> bool:
    """Whether it is the server, or `waybill <program>`."""
    words = Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
    return words[-1] == program or Path(words[0]).name.startswith(program)


def alive(pids: set[int]) -> set[int]:
    """Those that run; a zombie nobody has asked for does not."""
    return {pid for pid in pids if _state(pid) not in {"", "Z"}}


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
