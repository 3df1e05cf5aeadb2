"""Write the generated files of the chart: `python -m tests.helm.generate`."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.helm.readme import build_readme
from tests.helm.schema import CHART, build_schema

GENERATED: Mapping[Path, Callable[[], str]] = {
    CHART / "values.schema.json": lambda: json.dumps(build_schema(), indent=1) + "\n",
    CHART / "README.md": build_readme,
}
"""Generated files and the functions that build their text."""


if __name__ == "__main__":
    for path, build in GENERATED.items():
        path.write_text(build())
