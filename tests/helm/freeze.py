"""Freeze the rendered objects of a chart version, to test upgrades: `python -m tests.helm.freeze`.

An upgrade must not change immutable fields or object names, and must not reject values that were valid. Each frozen
version has its values and its rendered objects. Run it for each release; a released version is not overwritten.
Dashboards and alerts are omitted, since they are large and may change.
"""

import re
import shutil
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml

from tests.helm.rendering import read_all, template
from tests.helm.schema import CHART

FROZEN = Path(__file__).with_name("frozen")
CASES = ("trial", "full", "sentinel")
"""Together, these cases render every kind of object of the chart."""


def chart_version() -> str:
    """Return the version of the chart."""
    return str(yaml.safe_load((CHART / "Chart.yaml").read_text())["version"])


def versions() -> list[str]:
    """Return the frozen versions."""
    return sorted(path.name for path in FROZEN.iterdir())


@cache
def values_of(version: str, case: str) -> dict[str, Any]:
    """Return the frozen values."""
    return yaml.safe_load((FROZEN / version / f"{case}-values.yaml").read_text())


@cache
def objects_of(version: str, case: str) -> list[Any]:
    """Return the frozen objects."""
    return list(read_all((FROZEN / version / f"{case}.yaml").read_text()))


def released() -> set[str]:
    """Return the versions in CHANGELOG.md."""
    return set(re.findall(r"(?m)^## \[?v?(\d+\.\d+\.\d+)", (CHART.parent / "CHANGELOG.md").read_text()))


def freeze(version: str, folder: Path, released: Collection[str]) -> None:
    """Freeze the current chart as this version.

    Raises:
        FileExistsError: the version is frozen and released.
    """
    folder = folder / version
    if folder.exists() and version in released:
        raise FileExistsError(f"{folder}: {version} is released and must not change. Increase the chart version.")
    folder.mkdir(parents=True, exist_ok=True)
    for case in CASES:
        shutil.copy(CHART / "ci" / f"{case}-values.yaml", folder)
        objects = [_slim(each) for each in read_all(template(case)) if each]
        (folder / f"{case}.yaml").write_text(yaml.safe_dump_all(objects, sort_keys=False, width=120))


def _slim(written: Any) -> Any:
    """Remove large content that may change."""
    name: str = written["metadata"]["name"]
    if written["kind"] == "ConfigMap" and ("dashboard" in name or name.endswith(("-loki-rules", "-test"))):
        return written | {"data": dict.fromkeys(cast("dict[str, str]", written["data"]), "")}
    if written["kind"] == "PrometheusRule":
        return written | {"spec": {"groups": []}}
    return written


if __name__ == "__main__":
    freeze(chart_version(), FROZEN, released())
