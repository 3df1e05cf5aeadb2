"""Conversion of instruments to samples of prometheus_client."""

from collections.abc import Mapping, Sequence

from prometheus_client import samples
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from service.metrics.instruments import Counter, Exemplar, Histogram, Instrument, Key


def collect(instrument: Instrument) -> Metric:
    """Return the current samples of an instrument."""
    if isinstance(instrument, Histogram):
        family = HistogramMetricFamily(instrument.name, instrument.meaning, labels=instrument.labels)
        for key, counts in instrument.series.items():
            exemplars = instrument.exemplars.get(key, {})
            family.add_metric(_label_values(key), _buckets(instrument.bounds, counts, exemplars), counts[-1])
        return family
    kind = CounterMetricFamily if isinstance(instrument, Counter) else GaugeMetricFamily
    family = kind(instrument.name, instrument.meaning, labels=instrument.labels)
    for texts, value in _label_samples(instrument.values).items():
        family.add_metric(texts, value)
    return family


def _buckets(
    bounds: Sequence[float], counts: Sequence[float], exemplars: Mapping[int, Exemplar]
) -> list[tuple[str, float] | tuple[str, float, samples.Exemplar]]:
    total, buckets = 0.0, list[tuple[str, float] | tuple[str, float, samples.Exemplar]]()
    for index, (bound, count) in enumerate(zip([*map(str, bounds), "+Inf"], counts, strict=False)):
        total += count
        found = exemplars.get(index)
        if found is None:
            buckets.append((bound, total))
        else:
            exemplar = samples.Exemplar({"trace_id": found.trace_id}, found.seconds, found.at)
            buckets.append((bound, total, exemplar))
    return buckets


def _label_samples(values: Mapping[Key, float]) -> dict[tuple[str, ...], float]:
    """Return samples by label values as text. Equal texts are added up, because Prometheus rejects duplicates."""
    samples: dict[tuple[str, ...], float] = {}
    for key, value in values.items():
        texts = _label_values(key)
        samples[texts] = samples.get(texts, 0.0) + value
    return samples


def _label_values(key: Key) -> tuple[str, ...]:
    """Return the values of a key as text."""
    return tuple("" if value is None else str(value) for value in key)
