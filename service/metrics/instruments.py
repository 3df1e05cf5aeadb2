"""Counters, histograms and gauges as numbers in dicts. prometheus_client converts them when they are scraped.

The instruments of prometheus_client lock on every event, which takes longer than a log line. A process has one event
loop, so no lock is required. Label cardinality is limited: after `SERIES_MAX` combinations values count under `other`.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

SERIES_MAX = 2_000
OTHER = "other"

Label = str | int | None
Key = tuple[Label, ...]
"""Label values, in the order of the label names. None is an empty value."""


class Exemplar(Struct, frozen=True):
    """Last duration in a bucket that was measured within a trace. `at` is in seconds since the epoch."""

    trace_id: str
    seconds: float
    at: float


class _Traces(Struct):
    current_id: Callable[[], str | None] | None = None


_traces = _Traces()


def read_trace_id_by(current_id: Callable[[], str | None] | None) -> None:
    """Add the id of the current trace to durations, as exemplars. None stops it."""
    _traces.current_id = current_id


class Counter:
    """Counter. Its exported name ends with `_total`."""

    def __init__(self, name: str, meaning: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self.meaning = meaning
        self.labels = labels
        self.values: dict[Key, float] = {} if labels else {(): 0.0}

    def inc(self, key: Key = (), count: float = 1) -> None:
        """Add `count`."""
        values = self.values
        # Only a new key checks the cardinality.
        if key in values:
            values[key] += count
        else:
            key = limit_cardinality(key, len(values))
            values[key] = values.get(key, 0.0) + count


class Gauge:
    """Gauge."""

    def __init__(self, name: str, meaning: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self.meaning = meaning
        self.labels = labels
        self.values: dict[Key, float] = {}

    def set_all(self, values: Mapping[Key, float]) -> None:
        """Set the values of all keys. Other keys are removed."""
        self.values = dict(values)


class Histogram:
    """Histogram of durations in seconds. `bounds` are the upper bounds of its buckets."""

    def __init__(self, name: str, meaning: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self.name = name
        self.meaning = meaning
        self.labels = labels
        self.bounds = bounds
        self.series: dict[Key, list[float]] = {}
        """For each key the counts of all buckets, then the sum in seconds."""
        self.exemplars: dict[Key, dict[int, Exemplar]] = {}
        """For each key the exemplars by the index of their bucket."""

    def observe(self, key: Key, seconds: float) -> None:
        """Count a duration."""
        counts = self.series.get(key) or self._open(key)
        bucket = bisect_left(self.bounds, seconds)
        counts[bucket] += 1
        counts[-1] += seconds
        if _traces.current_id is not None and key in self.series and (trace_id := _traces.current_id()):
            self.exemplars.setdefault(key, {})[bucket] = Exemplar(trace_id, seconds, time.time())

    def _open(self, key: Key) -> list[float]:
        key = limit_cardinality(key, len(self.series))
        return self.series.setdefault(key, [0.0] * (len(self.bounds) + 2))


Instrument = Counter | Gauge | Histogram


def limit_cardinality(key: Key, series: int) -> Key:
    """Return `key`, or the key `other` if there are `SERIES_MAX` series."""
    return key if series < SERIES_MAX else (OTHER,) * len(key)
