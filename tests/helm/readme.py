"""Build helm/README.md: every value with its default and its comment in values.yaml."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from tests.helm.schema import CHART

HEAD = """\
# Helm chart of Waybill

The chart has two Deployments of one image: `service` receives HTTP (8080 for senders, 8081 for operators), `workers`
runs jobs. A Job publishes the rules after install, upgrade and rollback. This page lists every value.
[docs/how-to/kubernetes.md](../docs/how-to/kubernetes.md) is the installation guide.

Requires Helm 3.17 or later, and Kubernetes 1.25 or later. `values.schema.json` is generated from the code, so
`helm lint` rejects invalid platforms, sources, rules and settings. Generated from `values.yaml` by
`python -m tests.helm.generate`.

| value | default | description |
|---|---|---|
"""


class Row(NamedTuple):
    """One value: path, default as JSON, description."""

    path: str
    default: str
    meaning: str


def build_readme() -> str:
    """Build the page."""
    return HEAD + "".join(f"| `{row.path}` | `{row.default}` | {row.meaning} |\n" for row in read_rows())


def read_rows() -> Iterator[Row]:
    """Read every key with a `# --` comment above it, in the order of the file."""
    text = (CHART / "values.yaml").read_text()
    values = yaml.safe_load(text)
    parents: list[tuple[int, str]] = []
    meaning = ""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# --"):
            meaning = stripped.removeprefix("# --").strip()
        elif stripped and not stripped.startswith(("#", "-")):
            indent, key = len(line) - len(line.lstrip()), stripped.split(":")[0]
            parents = [step for step in parents if step[0] < indent] + [(indent, key)]
            if meaning:
                path = [step for _, step in parents]
                yield Row(".".join(path), _default(values, path), meaning)
                meaning = ""


def _default(values: Any, path: list[str]) -> str:
    for step in path:
        values = values[step]
    return json.dumps(values)
