"""The order of tests: each worker starts with long ones, and ends with those that would wait for another worker."""

import pytest

from tests.plugins.longest_first import longest_first

SECONDS = {"a60": 60.0, "b40": 40.0, "c30browser": 30.0}


@pytest.mark.parametrize(
    ("workers", "expected"),
    [
        (1, "a60 b40 c30browser 4browser 1 2 5 3waits"),
        (2, "a60 c30browser 4browser 1 b40 2 5 3waits"),
        (4, "a60 1 b40 2 c30browser 4browser 5 3waits"),
    ],
)
def test_each_worker_starts_with_long_tests(workers: int, expected: str) -> None:
    items = ["1", "c30browser", "2", "3waits", "a60", "4browser", "5", "b40"]
    assert ordered(items, workers) == expected.split()


@pytest.mark.parametrize("workers", [1, 4, 9])
def test_more_workers_than_tests_lose_none(workers: int) -> None:
    for items in ([], ["a60"], ["a60", "b40", "c30"], ["a60", "b40", "c30browser", "1browser", "2"], list("1234567")):
        assert sorted(ordered(items, workers)) == sorted(items)


def ordered(items: list[str], workers: int) -> list[str]:
    return longest_first(
        items,
        lambda item: SECONDS.get(item, 0.0),
        lambda item: item.endswith("waits"),
        lambda item: item.endswith("browser"),
        workers,
    )
