"""Commands on a terminal: confirmation, progress, tables, escaping and shell completion."""

import asyncio
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.events import EVENT_VERSION, Event, RecordRef, new_event_id
from service.store import Store
from tests.waiting import PATIENCE_SECONDS

pytestmark = [pytest.mark.store, pytest.mark.slow]

Waybill = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def waybill(environ: dict[str, str]) -> Waybill:
    """Return a function that runs the command with pipes."""

    def run(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "service", *arguments]
        known = {**os.environ, **environ, "USER": "ann", **more}
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS, env=known)

    return run


@pytest.fixture
def rule_file(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text("- {id: a-rule-with-an-id-of-32-digits-0, type: customer}\n- {id: other-rule, type: customer}\n")
    return path


async def add_dead_letters(store: Store, number: int) -> list[str]:
    ids: list[str] = []
    for place in range(number):
        record = RecordRef("pack", "purchase_order", str(place))
        event = Event(EVENT_VERSION, new_event_id(), "shop", "po", "updated", record, None, {}, None, b"{}")
        await store.ingest(event, event.id, 60_000)
        await store.client.command("ZREM", store.keys.named("open"), event.id)
        await store.client.command("ZADD", store.keys.named("dead"), 1_000 + place, event.id)
        await store.client.command("HSET", store.keys.event(event.id), "state", "dead", "outcome", "timeout")
        ids.append(event.id)
    return ids


def at_terminal(environ: dict[str, str], arguments: list[str], answer: str) -> tuple[str, int]:
    """Run the command on a terminal, and type `answer` at its prompt. Return its output and exit code."""
    primary, secondary = pty.openpty()
    known = {**os.environ, **environ, "USER": "ann", "TERM": "xterm", "COLUMNS": "200"}
    command = [sys.executable, "-m", "service", *arguments]
    process = subprocess.Popen(command, stdin=secondary, stdout=secondary, stderr=secondary, env=known)
    os.close(secondary)
    shown, typed, deadline = "", False, time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if not select.select([primary], [], [], 0.2)[0]:
            continue
        try:
            part = os.read(primary, 65_536)
        except OSError:
            break
        if not part:
            break
        shown += part.decode(errors="replace")
        if "[y/N]" in shown and not typed:
            os.write(primary, answer.encode() + b"\n")
            typed = True
    os.close(primary)
    return shown, process.wait(10)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@pytest.mark.parametrize(("answer", "remaining", "code"), [("n", 3, 1), ("", 3, 1), ("y", 0, 0)])
async def test_all_events_are_replayed_only_after_confirmation(
    answer: str, remaining: int, code: int, store: Store, environ: dict[str, str]
) -> None:
    await add_dead_letters(store, 3)
    shown, exit_code = at_terminal(environ, ["dead-letters", "replay", "--all", "--rate", "100"], answer)
    assert "3 events will be replayed. Continue?" in shown
    assert (exit_code, await store.client.command("ZCARD", store.keys.named("dead"))) == (code, remaining)
    assert ("3 events replayed" in shown) == (not remaining)
    assert "Traceback" not in shown


async def test_a_bulk_change_shows_its_progress_on_a_terminal_only(
    store: Store, environ: dict[str, str], waybill: Waybill
) -> None:
    await add_dead_letters(store, 30)
    words = ["dead-letters", "replay", "--all", "--rate", "10"]
    shown, exit_code = at_terminal(environ, words, "y")
    shares = {int(share) for share in re.findall(r"(\d+)%", shown)}
    assert (exit_code, bool(shares - {0, 100})) == (0, True)
    await add_dead_letters(store, 3)
    piped = waybill(*words, "--yes")
    assert ("3 events replayed" in piped.stderr, "%" in piped.stderr) == (True, False)


async def test_a_list_is_a_table_on_a_terminal_and_tab_separated_in_a_pipe(
    store: Store, environ: dict[str, str], waybill: Waybill
) -> None:
    [event_id] = await add_dead_letters(store, 1)
    shown, _ = at_terminal(environ, ["dead-letters", "list"], "")
    head, row = shown.splitlines()
    assert head.split() == ["AGE", "SOURCE", "TYPE", "RECORD", "ERROR", "EFFECTS", "ID"]
    assert row.split()[1:] == ["shop", "po", "pack:purchase_order:0", "timeout", event_id[:16]]
    piped = waybill("dead-letters", "list")
    head, row = piped.stdout.splitlines()
    assert head.split("	")[:3] == ["at", "source", "type"]
    assert row.split("\t")[-1] == event_id
    assert piped.stderr == ""


@pytest.mark.usefixtures("store")
async def test_the_id_of_a_rule_is_shown_whole(environ: dict[str, str], waybill: Waybill, rule_file: Path) -> None:
    assert waybill("rules", "apply", str(rule_file)).returncode == 0
    shown, _ = at_terminal(environ, ["rules", "list"], "")
    assert "a-rule-with-an-id-of-32-digits-0" in shown.split()


async def test_a_command_at_a_terminal_prints_no_audit_line(store: Store, environ: dict[str, str]) -> None:
    first, second = await add_dead_letters(store, 2)
    shown, exit_code = at_terminal(environ, ["dead-letters", "replay", first], "")
    assert (exit_code, "replayed" in shown, "admin.changed" in shown) == (0, True, False)
    verbose = environ | {"WAYBILL_LOG_LEVEL": "info"}
    shown, exit_code = at_terminal(verbose, ["dead-letters", "replay", second], "")
    assert (exit_code, "admin.changed" in shown) == (0, True)


async def test_watch_prints_rows_that_are_new_or_have_changed_until_interrupted(
    store: Store, environ: dict[str, str]
) -> None:
    # A shell ignores SIGINT in background jobs, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    [first] = await add_dead_letters(store, 1)
    command = [sys.executable, "-m", "service", "dead-letters", "list", "--watch", "-o", "name"]
    known = {**os.environ, **environ, "PYTHONUNBUFFERED": "1"}
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=known)
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS) == f"{first}\n".encode()
    [second] = await add_dead_letters(store, 1)
    assert await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS) == f"{second}\n".encode()
    process.send_signal(signal.SIGINT)
    rest, errors = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert (process.returncode, rest, errors) == (0, b"", b"")


async def test_terminal_escape_sequences_from_senders_are_escaped(store: Store, environ: dict[str, str]) -> None:
    evil = "po\x1b[31m\x9b2J\u202e\u2028x"
    record = RecordRef("pack", "purchase_order", "1")
    event = Event(EVENT_VERSION, new_event_id(), "shop", evil, "updated", record, None, {"x-a": evil}, None, b"{}")
    await store.ingest(event, event.id, 60_000)
    for words in (["events", "list"], ["events", "show", event.id], ["events", "show", event.id, "-o", "json"]):
        shown, exit_code = at_terminal(environ, words, "")
        assert exit_code == 0, words
        assert "\\u009b" in shown, words
        assert not any(escape in shown for escape in ("\x9b", "\x1b[31m", "\u202e", "\u2028")), words
    shown, exit_code = at_terminal(environ, ["events", "show", evil], "")
    assert (exit_code, "\x1b[31m" in shown, "\\u202e" in shown) == (2, False, True)


async def test_the_audit_line_is_on_stderr_and_the_result_on_stdout(store: Store, waybill: Waybill) -> None:
    first, second = await add_dead_letters(store, 2)
    done = waybill("dead-letters", "replay", first, "-o", "json")
    (answer,) = lines(done.stdout)
    assert (answer["event_id"], answer["result"], answer["destination"]) == (first, "replayed", "lane")
    (line,) = lines(done.stderr)
    assert (line["message"], line["audit_action"], line["target"], line["actor"], line["via"]) == (
        "admin.changed", "event.replayed", first, "ann", "command",
    )  # fmt: skip
    dry = waybill("dead-letters", "discard", "--all", "--dry-run", "--reason", "why", "-o", "json")
    assert [(row["event_id"], row["result"]) for row in lines(dry.stdout)] == [(second, "planned")]
    assert "1 event would be discarded" in dry.stderr


async def test_an_interrupted_bulk_change_prints_the_cursor_to_continue(
    store: Store, environ: dict[str, str], waybill: Waybill
) -> None:
    # A shell ignores SIGINT in background jobs, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    await add_dead_letters(store, 150)
    known = {**os.environ, **environ, "USER": "ann"}
    command = [sys.executable, "-m", "service", "dead-letters", "replay", "--all", "--yes", "--rate", "10"]
    process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE, env=known)
    while await store.client.command("ZCARD", store.keys.named("dead")) > 130:  # noqa: ASYNC110 - another process counts it down
        await asyncio.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output = (await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS))[1].decode()
    assert process.returncode == 1
    assert "Continue with --after " in output
    place = output.split("--after ")[1].split()[0]
    rest = waybill("dead-letters", "replay", "--all", "--yes", "--rate", "1000", "--after", place)
    assert rest.returncode == 0, rest.stderr
    assert await store.client.command("ZCARD", store.keys.named("dead")) == 0
    assert (await store.sample()).pending == 150


async def test_tail_prints_an_event_until_interrupted(store: Store, environ: dict[str, str]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, "-m", "service", "tail", "--since", "1h"]
    known = {**os.environ, **environ, "PYTHONUNBUFFERED": "1"}
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=known)
    assert process.stdout is not None
    heading = await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS)
    assert heading.decode().split() == ["age", "source", "type", "record", "outcome", "effects", "id"]
    record = RecordRef("pack", "purchase_order", "1")
    event = Event(EVENT_VERSION, new_event_id(), "shop", "po", "updated", record, None, {}, None, b"{}")
    await store.ingest(event, event.id, 60_000)
    row = (await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS)).decode().rstrip("\n").split("\t")
    assert row[1:] == ["shop", "po", "pack:purchase_order:1", "queued", "", event.id]
    process.send_signal(signal.SIGINT)
    _, errors = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert (process.returncode, errors) == (0, b"")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_has_a_script_for_every_shell(shell: str, waybill: Waybill) -> None:
    done = waybill(_WAYBILL_COMPLETE=f"{shell}_source")
    assert (done.returncode, "_WAYBILL_COMPLETE" in done.stdout) == (0, True), done.stderr
