"""Watcher of files: a change is reported once, after the files have settled."""

from pathlib import Path

import pytest

from service.file_watcher import FileWatcher, take_snapshot

INTERVAL_SECONDS = 0.5


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watcher(tmp_path: Path, clock: Clock) -> FileWatcher:
    (tmp_path / "a").write_text("1")
    return FileWatcher(lambda: [tmp_path / "a", *tmp_path.glob("*.yaml")], INTERVAL_SECONDS, clock)


def tick(watcher: FileWatcher, clock: Clock) -> set[str]:
    clock.now += INTERVAL_SECONDS
    return {path.name for path in watcher.changes()}


def test_changed_new_and_removed_files_are_reported_once(watcher: FileWatcher, clock: Clock, tmp_path: Path) -> None:
    assert tick(watcher, clock) == set()
    (tmp_path / "a").write_text("22")
    (tmp_path / "b.yaml").write_text("")
    assert tick(watcher, clock) == set(), "the files may still be written"
    assert tick(watcher, clock) == {"a", "b.yaml"}
    assert tick(watcher, clock) == set()
    (tmp_path / "b.yaml").unlink()
    assert [tick(watcher, clock) for _ in range(3)] == [set(), {"b.yaml"}, set()]


def test_a_file_that_is_still_written_is_not_reported(watcher: FileWatcher, clock: Clock, tmp_path: Path) -> None:
    for size in range(2, 6):
        (tmp_path / "a").write_text("x" * size)
        assert tick(watcher, clock) == set()
    assert tick(watcher, clock) == {"a"}


def test_files_are_read_once_in_each_interval(watcher: FileWatcher, clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("22")
    clock.now += INTERVAL_SECONDS
    assert watcher.changes() == frozenset()
    clock.now += INTERVAL_SECONDS / 2
    assert watcher.changes() == frozenset()
    clock.now += INTERVAL_SECONDS / 2
    assert watcher.changes() == {tmp_path / "a"}


def test_adopted_files_are_no_change_until_they_change(watcher: FileWatcher, clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("1")
    watcher.adopt(take_snapshot([tmp_path / "a", tmp_path / "b.yaml"]))
    assert [tick(watcher, clock) for _ in range(3)] == [set()] * 3
    (tmp_path / "b.yaml").write_text("22")
    assert [tick(watcher, clock) for _ in range(3)] == [set(), {"b.yaml"}, set()]


def test_change_that_was_not_handled_is_reported_after_an_adoption(
    watcher: FileWatcher, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("22")
    watcher.adopt(take_snapshot([tmp_path / "a"]))
    assert [tick(watcher, clock) for _ in range(3)] == [set(), {"a"}, set()]
