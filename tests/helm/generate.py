"""Write the generated files of the chart: `python -m tests.helm.generate`."""

import json
from functools import cache
from pathlib import Path

from tests.helm.readme import build_readme
from tests.helm.schema import CHART, build_schema


@cache
def generated_files() -> dict[Path, str]:
    """Return the content of each generated file."""
    return {
        CHART / "values.schema.json": json.dumps(build_schema(), indent=1) + "\n",
        CHART / "README.md": build_readme(),
    }


if __name__ == "__main__":
    for path, text in generated_files().items():
        path.write_text(text)
