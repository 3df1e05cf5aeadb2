"""Counters, histograms and gauges as plain numbers in dicts: prometheus_client makes samples of them when scraped.

Its own instruments take a lock and look labels up on every event, which costs more than a log line. A process here has
one event loop, so that nothing is counted twice at once. Labels are bounded: what comes after the first `SERIES_MAX`
combinations is counted under `other`.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

SERIES_MAX = 2_000
OTHER = "other"

Label = str | int | None
Key = tuple[Label, ...]
"""The label's values, in the order of the labels' names; None is shown as empty."""


class Counter:
    """Something that happened so often; shown with `_total` behind its name."""

    def __init__(self, name: str, meaning: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self.meaning = meaning
        self.labels = labels
        self.values: dict[Key, float] = {} if labels else {(): 0.0}

    def inc(self, key: Key = (), count: float = 1) -> None:
        """Count once more."""
        values = self.values
        # The bound is asked for only by a key that is new.
        if key in values:
            values[key] += count
        else:
            key = limit_cardinality(key, len(values))
            values[key] = values.get(key, 0.0) + count


class Gauge:
    """Something that is so much now."""

    def __init__(self, name: str, meaning: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self.meaning = meaning
        self.labels = labels
        self.values: dict[Key, float] = {}

    def set_all(self, values: Mapping[Key, float]) -> None:
        """Say how much it is now; what is not named is no longer shown."""
        self.values = dict(values)


class Histogram:
    """How long something took, in seconds, counted under `bounds`, each of them the most that counts there."""

    def __init__(self, name: str, meaning: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self.name = name
        self.meaning = meaning
        self.labels = labels
        self.bounds = bounds
        self.series: dict[Key, list[float]] = {}
        """For each key the counts under each bound and above the last, and then the sum."""

    def observe(self, key: Key, seconds: float) -> None:
        """Count one that took so long."""
        counts = self.series.get(key) or self._open(key)
        counts[bisect_left(self.bounds, seconds)] += 1
        counts[-1] += seconds

    def _open(self, key: Key) -> list[float]:
        key = limit_cardinality(key, len(self.series))
        return self.series.setdefault(key, [0.0] * (len(self.bounds) + 2))


Instrument = Counter | Gauge | Histogram


def limit_cardinality(key: Key, series: int) -> Key:
    """Give `key`, or the one of all others where there are `series` and no more may be."""
    return key if series < SERIES_MAX else (OTHER,) * len(key)
