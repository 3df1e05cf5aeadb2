"""Keeps what a version of the chart renders, once and for ever: `python -m tests.helm.freeze`.

An upgrade may not change what Kubernetes calls immutable, nor the names of objects, nor refuse values that were good.
What is kept are a version's values and what it made of them. Run it when a version is released; from then on it is not
written again. Before that it is what somebody has who tried the version early. Dashboards and alerts are left out:
large, and free to change.
"""

import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

import yaml

from tests.helm.rendering import template
from tests.helm.schema import CHART

FROZEN = Path(__file__).with_name("frozen")
CASES = ("trial", "full", "sentinel", "shards")
"""Together they make every kind of object that the chart has."""


def chart_version() -> str:
    """Give the chart's own version."""
    return str(yaml.safe_load((CHART / "Chart.yaml").read_text())["version"])


def versions() -> list[str]:
    """Name what is kept."""
    return sorted(path.name for path in FROZEN.iterdir())


def values_of(version: str, case: str) -> dict[str, Any]:
    """Give the values that were rendered."""
    return yaml.safe_load((FROZEN / version / f"{case}-values.yaml").read_text())


def objects_of(version: str, case: str) -> list[Any]:
    """Give what they were rendered to."""
    return list(yaml.safe_load_all((FROZEN / version / f"{case}.yaml").read_text()))


def released() -> set[str]:
    """Name the versions that CHANGELOG.md tells of."""
    return set(re.findall(r"(?m)^## \[?v?(\d+\.\d+\.\d+)", (CHART.parent / "CHANGELOG.md").read_text()))


def freeze(version: str, folder: Path, released: Collection[str]) -> None:
    """Keep the chart as it is under this version.

    Raises:
        FileExistsError: it was kept before, and is released.
    """
    folder = folder / version
    if folder.exists() and version in released:
        raise FileExistsError(f"{version} is released, and what was released does not change")
    folder.mkdir(parents=True, exist_ok=True)
    for case in CASES:
        shutil.copy(CHART / "ci" / f"{case}-values.yaml", folder)
        objects = [_slim(each) for each in yaml.safe_load_all(template(case)) if each]
        (folder / f"{case}.yaml").write_text(yaml.safe_dump_all(objects, sort_keys=False, width=120))


def _slim(written: Any) -> Any:
    """Drop what is large and free to change."""
    name: str = written["metadata"]["name"]
    if written["kind"] == "ConfigMap" and ("dashboard" in name or name.endswith(("-loki-rules", "-test"))):
        return written | {"data": dict.fromkeys(cast("dict[str, str]", written["data"]), "")}
    if written["kind"] == "PrometheusRule":
        return written | {"spec": {"groups": []}}
    return written


if __name__ == "__main__":
    freeze(chart_version(), FROZEN, released())
