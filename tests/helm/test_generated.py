"""What the chart keeps that is made from elsewhere is as it would be made now."""

from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from tests.helm.generate import made
from tests.helm.readme import read_rows
from tests.helm.schema import CHART


@pytest.mark.parametrize("path", list(made()), ids=lambda path: path.name)
def test_a_file_that_is_made_is_up_to_date(path: Path) -> None:
    assert path.read_text() == made()[path], "run: .venv/bin/python -m tests.helm.generate"


def test_every_value_is_told_in_words() -> None:
    told = {row.path for row in read_rows()}
    untold = [path for path in leaves(yaml.safe_load((CHART / "values.yaml").read_text()), "") if not under(path, told)]
    assert untold == []


def leaves(values: Any, at: str) -> list[str]:
    if isinstance(values, dict) and values:
        return [
            leaf
            for key, value in cast("dict[str, Any]", values).items()
            for leaf in leaves(value, f"{at}.{key}" if at else key)
        ]
    return [at]


def under(path: str, told: set[str]) -> bool:
    parts = path.split(".")
    return any(".".join(parts[:count]) in told for count in range(1, len(parts) + 1))
