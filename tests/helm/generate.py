"""Writes what the chart keeps that is made: `python -m tests.helm.generate`."""

import json
from functools import cache
from pathlib import Path

from tests.helm.readme import build_readme
from tests.helm.schema import CHART, build_schema


@cache
def made() -> dict[Path, str]:
    """Give each file and what it has to hold."""
    return {
        CHART / "values.schema.json": json.dumps(build_schema(), indent=1) + "\n",
        CHART / "README.md": build_readme(),
    }


if __name__ == "__main__":
    for path, text in made().items():
        path.write_text(text)
