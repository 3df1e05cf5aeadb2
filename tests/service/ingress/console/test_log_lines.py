"""Log lines of an event: read from the files of the processes within limits, and the link to the log store."""

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from service.ingress.console import log_lines
from service.ingress.console.log_lines import FoundLines, event_log_url, read_event_lines
from service.settings import Settings

from .conftest import LOG_STORE, NAUGHTY, NewBrowser
from .scenario import Scenario, fill, open_scenario

EVENT = "01a227c8660d7854b3a0704388149c9e"


def line(at: int, event_id: str = EVENT, **fields: object) -> bytes:
    """Return a line of a log, with the time `at`, in milliseconds."""
    named = {"timestamp": f"2026-11-20T08:15:{at // 1000:02}.{at % 1000:03}Z", "level": "info"}
    return msgspec.json.encode({**named, "message": "attempt.finished", "event_id": event_id, **fields}) + b"\n"


def numbers(found: FoundLines) -> list[int]:
    return [int(each.fields["number"]) for each in found.lines]


def test_lines_of_all_processes_are_sorted_by_time(tmp_path: Path) -> None:
    (tmp_path / "service.jsonl").write_bytes(line(1, number=1) + line(2, "other") + line(5, number=5))
    (tmp_path / "worker.jsonl").write_bytes(line(3, number=3, event_ids=["x"]) + b'damaged "' + EVENT.encode() + b'"\n')
    (tmp_path / "service.err").write_bytes(line(4, number=4))
    found = read_event_lines(tmp_path, EVENT)
    assert (numbers(found), found.complete) == ([1, 3, 5], True)
    assert [each.process for each in found.lines] == ["service", "worker", "service"]
    assert found.lines[1].fields == {"number": "3", "event_ids": '["x"]'}


def test_a_missing_folder_has_no_lines(tmp_path: Path) -> None:
    assert read_event_lines(tmp_path / "missing", EVENT).lines == []


def test_pipes_devices_and_deep_lines_are_skipped(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "device.jsonl").symlink_to("/dev/zero")
    deep = b'{"event_id":"%b","deep":%b}\n' % (EVENT.encode(), b"[" * 5000 + b"]" * 5000)
    (tmp_path / "worker-1.jsonl").write_bytes(deep + line(1, number=1))
    assert numbers(read_event_lines(tmp_path, EVENT)) == [1]


@pytest.mark.parametrize(("count", "complete"), [(3, True), (4, False)])
def test_the_last_lines_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, *, complete: bool
) -> None:
    monkeypatch.setattr(log_lines, "LINES_MAX", 3)
    (tmp_path / "worker.jsonl").write_bytes(b"".join(line(at, number=at) for at in range(count)))
    found = read_event_lines(tmp_path, EVENT)
    assert (numbers(found), found.complete) == ([*range(count)][-3:], complete)


@pytest.mark.parametrize(("extra", "shown", "complete"), [(0, [1, 2], True), (1, [2], False)])
def test_the_end_of_a_large_file_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: int, shown: list[int], *, complete: bool
) -> None:
    whole = line(1, number=1) + line(2, number=2) + b"x" * extra
    monkeypatch.setattr(log_lines, "FILE_BYTES_MAX", len(whole) - extra)
    (tmp_path / "worker.jsonl").write_bytes(whole)
    found = read_event_lines(tmp_path, EVENT)
    assert (numbers(found), found.complete) == (shown, complete)


def test_a_limited_number_of_files_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for at in range(3):
        (tmp_path / f"{at}.jsonl").write_bytes(line(at, number=at))
    monkeypatch.setattr(log_lines, "FILES_MAX", 3)
    assert numbers(read_event_lines(tmp_path, EVENT)) == [0, 1, 2]
    monkeypatch.setattr(log_lines, "FILES_MAX", 2)
    found = read_event_lines(tmp_path, EVENT)
    assert (len(found.lines), found.complete) == (2, False)


def test_the_link_has_the_id_and_the_time_of_the_event() -> None:
    template = "https://logs.example.com/?q={event_id}&from={from_ms}&to={to_ms}"
    ended = event_log_url(template, "a/b&c{to_ms}", "1970-01-01T00:02:00Z", "1970-01-01T00:03:00.5Z", 1)
    assert ended == "https://logs.example.com/?q=a%2Fb%26c%7Bto_ms%7D&from=60000&to=240500"
    assert event_log_url(template, "a", None, None, 7).endswith("?q=a&from=0&to=7")


@pytest.fixture
async def logging_scenario(make_settings: Callable[..., Settings], tmp_path: Path) -> AsyncIterator[Scenario]:
    (tmp_path / "logs").mkdir()
    settings = make_settings(
        attempts_max=1,
        log_folder=str(tmp_path / "logs"),
        log_url=f"{LOG_STORE}explore?event={{event_id}}&from={{from_ms}}&to={{to_ms}}",
    )
    async with open_scenario(settings, tmp_path) as opened:
        await fill(opened)
        yield opened


@pytest.fixture
def scenario(logging_scenario: Scenario) -> Scenario:
    return logging_scenario


@pytest.mark.slow
async def test_the_tab_shows_lines_to_operators_and_a_link_to_all(
    new_browser: NewBrowser, scenario: Scenario, tmp_path: Path
) -> None:
    lines = line(1, scenario.dead, level="error", error_message=NAUGHTY) + line(2, scenario.matched, text="of another")
    (tmp_path / "logs" / "worker.jsonl").write_bytes(lines)
    for role, is_shown in (("viewer", False), ("operator", True)):
        browser = new_browser()
        await browser.log_in(role)  # type: ignore[arg-type]
        page = (await browser.get(f"/events/{scenario.dead}?tab=log")).page
        assert any(link.startswith(f"{LOG_STORE}explore?event={scenario.dead}&from=1") for link in page.links)
        assert ("08:15:00.001 error worker attempt.finished error_message" in page.text) == is_shown
        assert ("Log lines take the role operator." in page.text) != is_shown
        assert "of another" not in page.text


@pytest.mark.slow
async def test_the_tab_without_lines_says_so(new_browser: NewBrowser, scenario: Scenario) -> None:
    browser = new_browser()
    await browser.log_in("operator")
    page = (await browser.get(f"/events/{scenario.queued}?tab=log")).page
    assert "No line of this event is in the logs" in page.text
