"""The order of tests: each worker starts with long ones, and ends with those that would wait for another worker."""

import pytest

from tests.plugins.longest_first import longest_first

SECONDS = {"a60": 60.0, "b40": 40.0, "c30": 30.0}


@pytest.mark.parametrize(
    ("workers", "expected"),
    [
        (1, "a60 b40 c30 1 2 4 5 3waits"),
        (2, "a60 c30 1 2 b40 4 5 3waits"),
        (4, "a60 1 b40 2 c30 4 5 3waits"),
    ],
)
def test_each_worker_starts_with_long_tests(workers: int, expected: str) -> None:
    items = ["1", "c30", "2", "3waits", "a60", "4", "5", "b40"]
    ordered = longest_first(items, lambda item: SECONDS.get(item, 0.0), lambda item: item.endswith("waits"), workers)
    assert ordered == expected.split()


@pytest.mark.parametrize("workers", [1, 4, 9])
def test_more_workers_than_tests_lose_none(workers: int) -> None:
    for items in ([], ["a60"], ["a60", "b40", "c30"], ["a60", "b40", "c30", "1", "2"], list("1234567")):
        ordered = longest_first(items, lambda item: SECONDS.get(item, 0.0), lambda _: False, workers)
        assert sorted(ordered) == sorted(items)
