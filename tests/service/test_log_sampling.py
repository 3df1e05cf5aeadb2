"""Sampling of log lines: whole events, weights, and the lines that are always written."""

from collections import Counter
from collections.abc import Iterator

import pytest

from service.events import new_event_id
from service.log import log_info
from service.log_sampling import sample_one_in
from tests.service.log_pipe import LogPipe

EVENTS = 2_000
ONE_IN = 10
MESSAGES = ("delivery.received", "record.fetched", "attempt.finished")


@pytest.fixture(autouse=True)
def sampled() -> Iterator[None]:
    sample_one_in(ONE_IN)
    yield
    sample_one_in(1)


@pytest.mark.parametrize("fields", [{"error_kind": "circuit_open"}, {"error_kind": None, "outcome": "deferred"}])
def test_errors_and_waits_are_always_written(read: LogPipe, fields: dict[str, object]) -> None:
    for _ in range(50):
        log_info("attempt.finished", {"event_id": new_event_id(), **fields})
    assert [line["weight"] for line in read()] == [1] * 50


def test_all_lines_or_none_of_an_event_are_written_and_weights_add_up(read: LogPipe) -> None:
    lines: list[dict[str, object]] = []
    for _ in range(EVENTS):
        event_id = new_event_id()
        for message in MESSAGES:
            log_info(message, {"event_id": event_id, "error_kind": None})
        lines += read()
    per_event = Counter(line["event_id"] for line in lines)
    assert set(per_event.values()) == {len(MESSAGES)}
    assert {line["weight"] for line in lines} == {ONE_IN}
    # 200 events are expected, with a standard deviation of 13; six of them are never exceeded by chance
    assert 120 < len(per_event) < 280


def test_line_without_an_event_is_sampled_by_its_trace(read: LogPipe) -> None:
    for _ in range(500):
        log_info("delivery.received", {"event_id": None, "trace_id": new_event_id()})
    assert 10 < len(read()) < 100


def test_without_sampling_every_line_has_the_weight_1(read: LogPipe) -> None:
    sample_one_in(1)
    log_info("delivery.received", {"event_id": new_event_id()})
    assert [line["weight"] for line in read()] == [1]
