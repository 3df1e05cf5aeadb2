"""What is counted and how it is shown, at what cost; the pages of both pods are asked over HTTP by their own tests."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from service.errors import StoreUnavailable
from service.metrics.families import ACK_SECONDS, DELIVERIES, FAMILIES
from service.metrics.instruments import OTHER, SERIES_MAX, Counter, Gauge, Histogram
from service.metrics.page import Page
from service.store import QueueSample, Store


def samples_of(page: bytes) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def test_more_label_values_than_there_may_be_are_counted_as_others() -> None:
    counter = Counter("things", "Things.", ("name",))
    for number in range(SERIES_MAX + 10):
        counter.add((f"n{number}",))
    counter.add(("n0",))
    samples = {sample.labels["name"]: sample.value for sample in counter.collect().samples}
    assert len(samples) == SERIES_MAX + 1
    assert samples[OTHER] == 10
    assert samples["n0"] == 2


def test_more_histograms_than_there_may_be_are_counted_as_others() -> None:
    histogram = Histogram("things_seconds", "Things.", ("name",), (1.0,))
    for number in range(SERIES_MAX + 10):
        histogram.observe((f"n{number}",), 0.5)
    assert histogram.series[OTHER,][0] == 10


def test_absent_and_empty_are_one_sample() -> None:
    counter = Counter("things", "Things.", ("reason",))
    counter.add((None,))
    counter.add(("",))
    (sample,) = counter.collect().samples
    assert (sample.labels, sample.value) == ({"reason": ""}, 2)


def test_what_a_gauge_no_longer_names_is_no_longer_shown() -> None:
    gauge = Gauge("rules", "Rules.", ("version",))
    gauge.put({("old",): 1})
    gauge.put({("new",): 2})
    assert [(sample.labels["version"], sample.value) for sample in gauge.collect().samples] == [("new", 2)]


@given(st.lists(st.floats(0, 100, allow_nan=False), max_size=50))
def test_a_histogram_agrees_with_the_values_themselves(values: list[float]) -> None:
    bounds = (0.1, 1.0, 10.0)
    histogram = Histogram("things_seconds", "Things.", ("name",), bounds)
    for value in values:
        histogram.observe(("a",), value)
    samples = {sample.labels.get("le", sample.name): sample.value for sample in histogram.collect().samples}
    if values:
        for bound in bounds:
            assert samples[str(bound)] == sum(value <= bound for value in values)
        assert samples["+Inf"] == samples["things_seconds_count"] == len(values)
        assert samples["things_seconds_sum"] == pytest.approx(sum(values))


def test_every_family_has_a_name_of_its_own_a_meaning_and_few_labels() -> None:
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    for family in FAMILIES:
        assert family.name.startswith("waybill_")
        assert family.meaning.endswith(".")
        assert {"event_id", "trace_id", "record", "worker"}.isdisjoint(family.labels)


def test_counting_a_delivery_costs_at_most_a_microsecond() -> None:
    def count() -> None:
        DELIVERIES.add(("shop", "queued", None))
        ACK_SECONDS.observe(("shop",), 0.003)

    assert min(_seconds_for(count) for _ in range(9)) < 1e-6


def _seconds_for(call: Callable[[], None], times: int = 5_000) -> float:
    began = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - began) / times


async def test_the_page_says_that_the_store_is_away_and_tells_the_rest() -> None:
    async def look() -> Struct:
        raise StoreUnavailable("gone")

    samples = samples_of(await Page("service", look).text())
    assert samples["waybill_store_up", ()] == 0
    assert not any(name == "waybill_dead_letters" for name, _ in samples)
    assert any(name == "process_resident_memory_bytes" for name, _ in samples)


async def test_the_page_shows_what_the_store_holds_and_looks_once_a_second(store: Store) -> None:
    looks: list[QueueSample] = []

    async def look() -> QueueSample:
        looks.append(await store.sample())
        return looks[-1]

    page = Page("workers", look)
    first, second = samples_of(await page.text()), samples_of(await page.text())
    assert len(looks) == 1
    assert first["waybill_store_up", ()] == second["waybill_store_up", ()] == 1
    assert first["waybill_queue_jobs", ("due",)] == 0
    assert first["waybill_store_memory_bytes", ()] == looks[0].memory_bytes
    assert first["waybill_store_call_seconds_count", ("sample",)] >= 1


async def test_two_pages_in_one_process_do_not_collide(store: Store) -> None:
    for component in ("service", "workers"):
        assert f'component="{component}"'.encode() in await Page(component, store.sample).text()
