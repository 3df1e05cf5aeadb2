"""Watcher of files: reports a change once the files have been the same for one interval."""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

Snapshot = Mapping[Path, tuple[int, int, int]]


class FileWatcher:
    """Compares the state of files. `find` returns the paths, also of files that do not exist.

    An editor may write a file in several steps, or replace it. A change is therefore reported only after two equal
    snapshots. Links are followed. `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        find: Callable[[], Iterable[Path]],
        interval_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find = find
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._handled = self._last = take_snapshot(find())
        self._checked_at = clock()

    def changes(self) -> frozenset[Path]:
        """Return the files that were changed, added or removed since the last report. Checks once in each interval."""
        if self._clock() < self._checked_at + self._interval_seconds:
            return frozenset()
        self._checked_at = self._clock()
        previous, self._last = self._last, take_snapshot(self._find())
        if self._last == self._handled or self._last != previous:
            return frozenset()
        before, self._handled = self._handled, self._last
        return frozenset(path for path in {*before, *self._last} if before.get(path) != self._last.get(path))

    def adopt(self, read: Snapshot) -> None:
        """Watch exactly the files of `read`, the snapshot before they were read. Files that are new are no change."""
        self._handled = self._last = {path: self._handled.get(path, state) for path, state in read.items()}


def take_snapshot(paths: Iterable[Path]) -> Snapshot:
    """Return the state of each file that exists."""
    found: dict[Path, tuple[int, int, int]] = {}
    for path in paths:
        try:
            state = path.stat()
        except OSError:
            continue
        found[path] = (state.st_ino, state.st_mtime_ns, state.st_size)
    return found
