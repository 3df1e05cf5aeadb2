"""Generated files of the chart are up to date."""

import re
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from tests.helm.generate import GENERATED
from tests.helm.readme import read_rows
from tests.helm.schema import CHART, _pattern


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


@pytest.mark.parametrize("pattern", [r"^[a-z]{0,3}$", r"^[a-z]{1,3}$", r"^[a-z][\]-]{0,3}$", r"^[a-z][a-z]{1,3}\Z"])
@pytest.mark.parametrize("text", ["", "a", "aa", "aaa", "aaaa", "aaaaa", "]", "a]-]", "a]-]-", "A"])
def test_count_at_the_end_of_a_pattern_becomes_a_length(pattern: str, text: str) -> None:
    schema = _pattern(pattern)
    assert "{" not in schema["pattern"]
    accepts = re.search(schema["pattern"], text) is not None and len(text) <= schema["maxLength"]
    assert accepts == (re.search(pattern, text) is not None)


def test_other_pattern_stays_as_it_is() -> None:
    assert _pattern(r"^(sha256:[0-9a-f]{64})?\Z") == {"pattern": "^(sha256:[0-9a-f]{64})?$"}
