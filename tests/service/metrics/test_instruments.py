"""Metric instruments and their samples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from service.metrics.families import FAMILIES
from service.metrics.instruments import OTHER, SERIES_MAX, Counter, Gauge, Histogram
from service.metrics.samples import collect


def samples_of(page: bytes) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def test_counter_cardinality_is_limited() -> None:
    counter = Counter("things", "Things.", ("name",))
    for number in range(SERIES_MAX + 10):
        counter.inc((f"n{number}",))
    counter.inc(("n0",))
    samples = {sample.labels["name"]: sample.value for sample in collect(counter).samples}
    assert len(samples) == SERIES_MAX + 1
    assert samples[OTHER] == 10
    assert samples["n0"] == 2


def test_histogram_cardinality_is_limited() -> None:
    histogram = Histogram("things_seconds", "Things.", ("name",), (1.0,))
    for number in range(SERIES_MAX + 10):
        histogram.observe((f"n{number}",), 0.5)
    assert histogram.series[OTHER,][0] == 10


def test_none_and_empty_label_are_one_sample() -> None:
    counter = Counter("things", "Things.", ("reason",))
    counter.inc((None,))
    counter.inc(("",))
    (sample,) = collect(counter).samples
    assert (sample.labels, sample.value) == ({"reason": ""}, 2)


def test_gauge_removes_keys_that_are_not_set() -> None:
    gauge = Gauge("rules", "Rules.", ("version",))
    gauge.set_all({("old",): 1})
    gauge.set_all({("new",): 2})
    assert [(sample.labels["version"], sample.value) for sample in collect(gauge).samples] == [("new", 2)]


@given(st.lists(st.floats(0, 100, allow_nan=False), max_size=50))
def test_histogram_buckets_match_the_values(values: list[float]) -> None:
    bounds = (0.1, 1.0, 10.0)
    histogram = Histogram("things_seconds", "Things.", ("name",), bounds)
    for value in values:
        histogram.observe(("a",), value)
    samples = {sample.labels.get("le", sample.name): sample.value for sample in collect(histogram).samples}
    if values:
        for bound in bounds:
            assert samples[str(bound)] == sum(value <= bound for value in values)
        assert samples["+Inf"] == samples["things_seconds_count"] == len(values)
        assert samples["things_seconds_sum"] == pytest.approx(sum(values))


def test_every_family_has_a_unique_name_a_help_text_and_few_labels() -> None:
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    for family in FAMILIES:
        assert family.name.startswith("waybill_")
        assert family.meaning.endswith(".")
        assert {"event_id", "trace_id", "record", "worker"}.isdisjoint(family.labels)
