"""Plugin that starts the longest tests of a run first, since a run ends with its last test.

`@pytest.mark.long(seconds=60)` names the duration of a test. Each pytest worker first gets an equal share of the tests
in their order. The longest tests are put at the start of each share, in turns. Tests that use the fixture of such a
test for the session are put at the end, where no worker waits for it.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import pytest

ItemT = TypeVar("ItemT")

SESSION_FIXTURES = frozenset({"run"})
"""Fixtures that one worker makes for all, while the others wait."""


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

    items[:] = longest_first(items, seconds.__getitem__, waits, workers)


def seconds_of(item: pytest.Item) -> float:
    mark = item.get_closest_marker("long")
    return float(mark.kwargs["seconds"]) if mark else 0.0


def longest_first(
    items: Sequence[ItemT], seconds: Callable[[ItemT], float], waits: Callable[[ItemT], bool], workers: int
) -> list[ItemT]:
    """Return the items in an order in which each of the workers starts with long ones."""
    long = sorted((item for item in items if seconds(item)), key=seconds, reverse=True)
    rest = sorted((item for item in items if not seconds(item)), key=waits)
    starts = [len(items) * worker // workers for worker in range(workers + 1)]
    ordered: list[ItemT] = []
    for worker, (start, end) in enumerate(pairwise(starts)):
        share = long[worker::workers]
        count = max(end - start - len(share), 0)
        ordered += [*share, *rest[:count]]
        rest = rest[count:]
    return ordered + rest
