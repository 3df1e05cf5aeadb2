"""Generated files of the chart are up to date."""

from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from tests.helm.generate import GENERATED
from tests.helm.readme import read_rows
from tests.helm.schema import CHART


@pytest.mark.parametrize("path", list(GENERATED), ids=lambda path: path.name)
def test_generated_file_is_up_to_date(path: Path) -> None:
    assert path.read_text() == GENERATED[path](), "run: .venv/bin/python -m tests.helm.generate"


def test_every_value_is_described() -> None:
    described = {row.path for row in read_rows()}
    undescribed = [
        path for path in leaves(yaml.safe_load((CHART / "values.yaml").read_text()), "") if not under(path, described)
    ]
    assert undescribed == []


def leaves(values: Any, at: str) -> list[str]:
    if isinstance(values, dict) and values:
        return [
            leaf
            for key, value in cast("dict[str, Any]", values).items()
            for leaf in leaves(value, f"{at}.{key}" if at else key)
        ]
    return [at]


def under(path: str, described: set[str]) -> bool:
    parts = path.split(".")
    return any(".".join(parts[:count]) in described for count in range(1, len(parts) + 1))
