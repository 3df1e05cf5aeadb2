"""Plugin that starts the longest tests of a run first, since a run ends with its last test.

`@pytest.mark.long(seconds=60)` names the duration of a test. Each pytest worker first gets an equal share of the tests
in their order. The longest tests are put at the start of each share, in turns. Tests that use the fixture of such a
test for the session are put at the end, where no worker waits for it. Tests that use the same program as such a test
are put after it, so that fewer workers start the program.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import pytest

ItemT = TypeVar("ItemT")

SESSION_FIXTURES = frozenset({"run"})
"""Fixtures that one worker makes for all, while the others wait."""

PROGRAM_FIXTURES = frozenset({"windows"})
"""Fixtures that each worker makes for itself: a browser takes 2 s of processor time to start."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long(seconds): takes this long on two idle cores, and is started first")


@pytest.hookimpl(trylast=True)  # after pytest-randomly
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    workers: int = getattr(config, "workerinput", {}).get("workercount", 1)
    seconds = {item: seconds_of(item) for item in items}
    shared = {name for item in items if seconds[item] for name in getattr(item, "fixturenames", ())}
    shared &= SESSION_FIXTURES

    def waits(item: pytest.Item) -> bool:
        return bool(shared.intersection(getattr(item, "fixturenames", ())))

    def uses_program(item: pytest.Item) -> bool:
        return bool(PROGRAM_FIXTURES.intersection(getattr(item, "fixturenames", ())))

    items[:] = longest_first(items, seconds.__getitem__, waits, uses_program, workers)


def seconds_of(item: pytest.Item) -> float:
    mark = item.get_closest_marker("long")
    return float(mark.kwargs["seconds"]) if mark else 0.0


def longest_first(
    items: Sequence[ItemT],
    seconds: Callable[[ItemT], float],
    waits: Callable[[ItemT], bool],
    uses_program: Callable[[ItemT], bool],
    workers: int,
) -> list[ItemT]:
    """Return the items in an order in which each of the workers starts with long ones."""
    long = sorted((item for item in items if seconds(item)), key=seconds, reverse=True)
    shares = [long[worker::workers] for worker in range(workers)]
    rest = sorted((item for item in items if not seconds(item)), key=waits)
    if users := [share for share in shares if any(map(uses_program, share))]:
        for number, item in enumerate(filter(uses_program, rest)):
            users[number % len(users)].append(item)
        rest = [item for item in rest if not uses_program(item)]
    starts = [len(items) * worker // workers for worker in range(workers + 1)]
    ordered: list[ItemT] = []
    for share, (start, end) in zip(shares, pairwise(starts), strict=True):
        count = max(end - start - len(share), 0)
        ordered += [*share, *rest[:count]]
        rest = rest[count:]
    return ordered + rest
