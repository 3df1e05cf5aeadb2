"""Generator of the reference of all metrics."""

from service.metrics.families import FAMILIES
from service.metrics.instruments import Counter, Histogram, Instrument

INTRODUCTION = """\
# Metrics

Generated from the code by `make pages`. Both pods serve `/metrics` on port 8081 in the text format of Prometheus. Every
pod reads the figures of the store, so each of them has the same values of these gauges; `shard` is the number of the
shard, from 0. Labels have few values:
configured names, stable codes and ids of rules. The dashboards and alerts of the chart use these names only.

| metric | type | labels | meaning |
|---|---|---|---|
"""


def metrics_page() -> str:
    """Return the page."""
    return INTRODUCTION + "".join(_row(family) for family in sorted(FAMILIES, key=lambda family: family.name))


def _row(family: Instrument) -> str:
    name = f"{family.name}_total" if isinstance(family, Counter) else family.name
    kind = type(family).__name__.lower()
    labels = ", ".join(f"`{label}`" for label in family.labels)
    buckets = (
        f" Buckets: {', '.join(f'{bound:g}' for bound in family.bounds)} s." if isinstance(family, Histogram) else ""
    )
    return f"| `{name}` | {kind} | {labels} | {family.meaning}{buckets} |\n"
