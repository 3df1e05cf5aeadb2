"""`waybill demo` and `waybill dev` in real processes with real signals."""

import asyncio
import contextlib
import os
import pty
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Generator
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

import msgspec
import pytest
import redis
from click.testing import CliRunner

from service.cli.main import waybill
from service.dev.demo_senders import call
from service.dev.foreign_store import OWN_KEYS
from service.errors import ConfigError
from service.settings import Settings
from service.store import open_shards

pytestmark = [pytest.mark.crash, pytest.mark.slow]

ROOT = Path(__file__).parents[1]
COMMAND = (sys.executable, "-m", "service")
DEV = (*COMMAND, "dev", "--port", "0", "--admin-port", "0")
STARTED = "Ctrl-C stops everything."
START_SECONDS_MAX = 120.0
ResultT = TypeVar("ResultT")


STALE = {
    "WAYBILL_REDIS_URL": "unix:///nowhere/valkey.sock",
    "WAYBILL_SHARDS": "3",
    "WAYBILL_REDIS_SENTINEL": "127.0.0.1:1",
    "WAYBILL_CONFIG": "/nowhere/waybill.yaml",
    "WAYBILL_PORT": "1",
    "WAYBILL_ADMIN_PORT": "1",
    "WAYBILL_KEY_PREFIX": "NOT VALID",
    "WAYBILL_NO_SUCH_SETTING": "1",
    "EXAMPLE_PACK_SECRET": "an old secret",
}
"""Variables of an installation or of an earlier version in the shell of the user."""


class Dev(NamedTuple):
    """A `waybill dev`, the folder of its file and output, and an environment in which commands find it."""

    process: "subprocess.Popen[bytes]"
    directory: Path
    environ: dict[str, str]

    def introduction(self) -> str:
        """Wait until it has started, and return its output."""
        return wait_for(lambda: output_with(self.directory, STARTED))


def environ_in(directory: Path) -> dict[str, str]:
    """Return an environment without settings, in which `dev` writes its file below `directory`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WAYBILL_")}
    return kept | {"XDG_RUNTIME_DIR": str(directory), "PYTHONPATH": str(ROOT)}


@contextlib.contextmanager
def dev_in(directory: Path, *options: str, **variables: str) -> Generator[Dev]:
    """Start `waybill dev` with stale variables. Its output is in `directory / "out"`."""
    environ = environ_in(directory)
    with (directory / "out").open("wb") as out:
        command = [*DEV, *options]
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environ | STALE | variables, cwd=directory)
    yield Dev(process, directory, environ)
    process.kill()
    process.wait()
    for folder in re.findall(r"^store +unix://(\S+)/valkey.sock", (directory / "out").read_text(), re.MULTILINE):
        shutil.rmtree(folder, ignore_errors=True)  # a killed process removes nothing


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return environ_in(tmp_path)


@pytest.mark.parametrize("command", ["dev", "demo"])
@pytest.mark.parametrize("own", [{}, OWN_KEYS], ids=["installation", "earlier dev"])
def test_a_store_with_a_rulebook_is_rejected_and_not_changed(
    environ: dict[str, str], make_settings: Callable[..., Settings], command: str, own: dict[str, str]
) -> None:
    settings = make_settings(**own)
    asyncio.run(publish(settings))
    before = entries(settings.redis_url)
    prefix = settings.key_prefix
    assert mistake(environ, command, "--store", settings.redis_url).startswith(
        f"--store: the store contains a rulebook with key prefix {prefix}. Fix: omit --store"
    )
    assert entries(settings.redis_url) == before


@pytest.mark.parametrize("command", ["dev", "demo"])
def test_an_unreachable_store_is_rejected_in_one_line(environ: dict[str, str], free_port: int, command: str) -> None:
    found = mistake(environ, command, "--store", f"redis://127.0.0.1:{free_port}/0")
    assert re.fullmatch(r"--store: the store cannot be used: .* Fix: give a store .*", found)


@pytest.mark.parametrize("option", ["--port", "--admin-port"])
def test_dev_rejects_a_port_in_use_in_one_line(environ: dict[str, str], option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = mistake(environ, "dev", option, str(port))
    assert found == (
        f"{option}: port {port} cannot be used: Address already in use. "
        f"Fix: choose another port, or omit {option} for a free port"
    )


def test_dev_rejects_one_port_for_both_listeners_in_one_line(environ: dict[str, str], free_port: int) -> None:
    found = mistake(environ, "dev", "--port", str(free_port), "--admin-port", str(free_port))
    assert found == f"--admin-port: port {free_port} is also given as --port. Fix: name two different ports"


@pytest.mark.parametrize("command", ["dev", "demo"])
def test_a_temporary_folder_with_a_long_path_is_rejected_in_one_line(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)  # the folder that this process has found
    folder = tmp_path / ("long" * 25)  # the data of `dev` may have such a path, its socket may not
    folder.mkdir()
    found = mistake(environ | {"TMPDIR": str(folder)}, command, output="Start")
    assert re.fullmatch(r"TMPDIR: the path of the store's socket, .* Fix: set TMPDIR to .*", found)


def test_dev_rejects_a_read_only_folder_in_one_line(environ: dict[str, str]) -> None:
    done = subprocess.run(
        [*COMMAND, "dev"],
        cwd="/proc",  # read-only, even for root
        env={name: value for name, value in environ.items() if name != "XDG_RUNTIME_DIR"} | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=START_SECONDS_MAX,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"waybill: /proc/.waybill/dev.json: cannot be written: .* Fix: change to .*\n", done.stderr)


def test_an_installation_in_the_same_store_is_not_changed_by_a_demo(
    environ: dict[str, str], make_settings: Callable[..., Settings]
) -> None:
    settings = make_settings()
    asyncio.run(publish(settings))
    before = entries(settings.redis_url)
    done = run(environ | STALE, "demo", "--store", settings.redis_url, "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    after = entries(settings.redis_url)
    added = [key for key in after if key not in before]
    assert {key: after[key] for key in before} == before
    assert added
    assert all(OWN_KEYS["key_prefix"].encode() in key for key in added), "arq's keys hold the id of a lane"


def test_the_demo_shows_the_expected_outcomes_and_ends_with_0(environ: dict[str, str]) -> None:
    done = run(environ | STALE, "demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 of 10 as expected" in done.stdout
    assert "SIGKILL" in done.stdout
    rejected = done.stdout.partition("4. delivery with a changed body")[2].partition("5. ")[0]
    assert "401 rejected: not_verified" in rejected, "each step is shown with its own lines"
    assert "worker-2  attempt.finished   matched at attempt 2, after" in done.stdout
    assert "NOT OK" not in done.stdout
    assert "warm-up" not in done.stdout
    steps = done.stdout.partition("Next steps:\n")[2].splitlines()
    assert [step.split("  ")[1].rpartition("/")[2] for step in steps] == [
        "waybill dev",
        "waybill open",
        "first-event.md",
    ]
    assert (ROOT / "docs/tutorials/first-event.md").is_file()
    lines = [line for line in done.stdout.splitlines() if str(ROOT) not in line]
    assert max(len(line.rstrip()) for line in lines) <= 80


@pytest.mark.long(seconds=12)
def test_dev_ends_all_its_processes_and_keeps_its_data_and_token_until_fresh(tmp_path: Path) -> None:
    with dev_in(tmp_path) as first:
        text = first.introduction()
        children = children_of(first.process.pid)
        assert len(children) == 4
        (token,) = found(r"with token (\S+)", text)
        check_commands_beside(first)
        event_id = check_the_printed_send_command(first)
        wait_for(lambda: output_with(tmp_path, event_id))
        assert re.search(rf"\tpack-orders\t.*\tmatched\t2\t{event_id}\t", first.introduction())
        # Another `dev` with the same data is rejected too if it does not find the file of this one.
        (tmp_path / "other").mkdir()
        other = run(
            first.environ | {"XDG_RUNTIME_DIR": str(tmp_path / "other")}, *DEV[3:], "--data", f"{tmp_path}/.waybill"
        )
        assert (other.returncode, other.stdout) == (2, "")
        assert "is in use by another `waybill dev`. Fix: stop it, or add --data" in other.stderr
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(START_SECONDS_MAX) == 0
        assert alive(children) == set()
        (socket_path,) = found(r"store +unix://(\S+)", text)
        assert not Path(socket_path).parent.exists()
        assert not (tmp_path / "waybill" / "dev.json").exists()
    with dev_in(tmp_path) as second:
        assert found(r"with token (\S+)", second.introduction()) == (token,)
        assert event_id in run(second.environ, "events", "list").stdout
        (admin,) = found(r"console +(\S+)/ with token", second.introduction())
        answer = call("GET", f"{admin}/api/v1/rules", {"authorization": f"Bearer {token}"})
        assert answer.status == 200
        check_a_killed_dev(second)
    with dev_in(tmp_path, "--fresh") as third:
        assert token not in third.introduction()
        assert event_id not in run(third.environ, "events", "list").stdout
        kill_child(third, "valkey")
        assert third.process.wait(START_SECONDS_MAX) == 1
        assert "the store ended with exit code -9" in (tmp_path / "out").read_text()


def check_a_killed_dev(dev: Dev) -> None:
    """Check that all its processes end, and that its file is ignored and removed."""
    children = children_of(dev.process.pid)
    assert len(children) == 4
    file = dev.directory / "waybill" / "dev.json"
    assert file.stat().st_mode & 0o777 == 0o600
    dev.process.kill()
    dev.process.wait()
    wait_for(lambda: not alive(children))
    done = run(dev.environ, "send", "pack-orders", "--event", "x")
    assert done.returncode == 2
    ended, rejected = done.stderr.splitlines()
    assert "has ended without a shutdown" in ended
    assert rejected.startswith("waybill: waybill.yaml: cannot be read"), "the configuration of dev is not used"
    assert not file.exists()


def check_the_printed_send_command(dev: Dev) -> str:
    """Send the event that `dev` proposes, check its effect and its log, and return its id."""
    text = dev.introduction()
    (words,) = found(r"waybill (send .+)", text)
    done = run(dev.environ, *shlex.split(words))
    assert done.stdout.startswith("202  "), done.stdout + done.stderr
    assert done.stderr == "", "the note is printed on a terminal only"
    (sink,) = found(r"received requests: (\S+)", text)
    received = wait_for(lambda: call("GET", sink).body["requests"])
    assert msgspec.json.decode(received[0]["body"])["order"] == "po-1"
    event_id = msgspec.json.decode(done.stdout.partition("  ")[2])["event_id"]
    # The worker writes its last line after the effect.
    page = wait_for(lambda: lines_with(console_page(text, f"/events/{event_id}?tab=log"), "attempt.finished"))
    assert [f">{process}</td>" in page for process in ("service", "worker-1", "sandbox")] == [True, True, False]
    return event_id


def lines_with(page: str, text: str) -> str:
    return page if text in page else ""


def console_page(introduction: str, path: str) -> str:
    """Log in to the console, and return a page."""
    url, token = found(r"console +(\S+)/ with token (\S+)", introduction)
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    form = urllib.parse.urlencode({"token": token, "next": path}).encode()
    with opener.open(f"{url}/login", form) as answer:
        return answer.read().decode()


def check_commands_beside(dev: Dev) -> None:
    """Check that a second `dev` is rejected in one line, and that commands at a terminal name the first one."""
    done = run(dev.environ, "dev")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"waybill: waybill dev: is already running here .* Fix: stop it .*\n", done.stderr)
    assert dev.process.poll() is None
    primary, secondary = pty.openpty()
    try:
        command = [*COMMAND, "events", "list"]
        subprocess.run(command, env=dev.environ, stderr=secondary, stdout=subprocess.DEVNULL, check=True)
        output = os.read(primary, 4_096).decode()
    finally:
        os.close(primary)
        os.close(secondary)
    assert f"waybill: using `waybill dev`, process {dev.process.pid}, /" in output


@pytest.mark.long(seconds=12)
def test_dev_runs_and_reloads_a_waybill_yaml_of_the_user_and_ends_with_1_if_a_process_ends(tmp_path: Path) -> None:
    (tmp_path / "waybill.yaml").write_text(OWN_CONFIG)
    (tmp_path / "rules.yaml").write_text("- {id: all, type: customer, actions: [{id: a, do: log, message: hello}]}\n")
    with dev_in(tmp_path, "--config", "waybill.yaml", OWN_SECRET="s") as dev:
        (words,) = found(r"waybill (send .+)", dev.introduction())
        assert words == "send crm --event customer.updated --id 1"
        own = dev.environ | {"OWN_SECRET": "s"}
        assert run(own, "rules", "list").stdout.splitlines()[1].startswith("0\tall\tcustomer")
        assert run(own, *shlex.split(words)).stdout.startswith("202  ")
        assert "s" not in msgspec.json.decode((tmp_path / "waybill" / "dev.json").read_bytes())["environ"].values()
        check_reload(tmp_path)
        kill_child(dev, "worker")
        assert dev.process.wait(START_SECONDS_MAX) == 1
        assert "worker-1 ended with exit code -9" in (tmp_path / "out").read_text()


def check_reload(folder: Path) -> None:
    """Change waybill.yaml with two mistakes, then without, then the variables: only these restart the processes."""
    path = folder / "waybill.yaml"
    path.write_text(OWN_CONFIG.replace("kind: custom", "kind: custm").replace("scheme: hmac", "scheme: hmca"))
    output = wait_for(lambda: output_with(folder, "The previous configuration stays in use."))
    assert "did you mean custom?" in output
    assert "did you mean hmac?" in output
    path.write_text(OWN_CONFIG.replace("sources:\n  crm:", "sources:\n  orders:"))
    assert "config.rejected" not in wait_for(lambda: output_with(folder, "Reloaded the configuration."))
    (folder / ".env").write_text("ANOTHER=value\n")
    wait_for(lambda: output_with(folder, "Restarted with the new configuration."))


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


def kill_child(dev: Dev, program: str) -> None:
    os.kill(next(pid for pid in children_of(dev.process.pid) if runs(pid, program)), signal.SIGKILL)


def mistake(environ: dict[str, str], *words: str, output: str = "") -> str:
    """Return the only mistake of `waybill <words>` in this process, after an output that starts with `output`.

    Another test shows the line of a mistake and the exit code.
    """
    result = CliRunner().invoke(waybill, words, env=environ)
    assert isinstance(result.exception, ConfigError), result
    # The usual port of the sandbox may be used by another test.
    lines = [line for line in result.output.splitlines() if "is in use: the sandbox uses a free port" not in line]
    assert all(line.startswith(output) for line in lines[:1])
    assert bool(lines) == bool(output)
    (found,) = result.exception.mistakes
    assert "\n" not in str(found)
    return str(found)


def run(environ: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    """Run `waybill <words>` to its end, in the folder of the file of `dev`."""
    return subprocess.run(
        [*COMMAND, *words],
        env=environ,
        cwd=environ["XDG_RUNTIME_DIR"],
        capture_output=True,
        text=True,
        check=False,
        timeout=START_SECONDS_MAX,
    )


async def publish(settings: Settings) -> None:
    store = await open_shards(settings)
    assert await store.home.rulebook.publish("v1", b"{}", "somebody", "", None)
    await store.close()


def entries(url: str) -> dict[bytes, bytes | None]:
    """Return every key of a store with its content."""
    with redis.Redis(unix_socket_path=url.removeprefix("unix://")) as client:
        names = cast("list[bytes]", client.keys())  # pyright: ignore[reportUnknownMemberType] - redis-py types it with a hole
        return {name: cast("bytes | None", client.dump(name)) for name in names}


def wait_for(poll: Callable[[], ResultT]) -> ResultT:
    deadline = time.monotonic() + START_SECONDS_MAX
    while not (result := poll()):
        assert time.monotonic() < deadline, "timeout"
        time.sleep(0.05)
    return result


def output_with(tmp_path: Path, words: str) -> str:
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
    """Return whether the process is the server `program`, or `waybill <program>`."""
    words = Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
    return words[-1] == program or Path(words[0]).name.startswith(program)


def alive(pids: set[int]) -> set[int]:
    """Return the process ids that run. A zombie does not run."""
    return {pid for pid in pids if _state(pid) not in {"", "Z"}}


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
