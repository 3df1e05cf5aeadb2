"""Render the chart with a real Helm into plain data: `render("minimal")["Deployment/rel-waybill-service"]`."""

import os
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import yaml

from tests.helm.schema import CHART
from tests.helm.tools import binary

CASES = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml"))
NEWEST = "4.1"

Values = dict[str, Any]
Objects = dict[str, Any]


class CommandFailed(Exception):
    """A command failed; the text is its output."""


def helm(*arguments: str | Path, version: str = NEWEST, stdin: str = "") -> str:
    """Run Helm. Raises CommandFailed."""
    command = [str(binary(version)), *map(str, arguments)]
    # A short process needs no garbage collection, which takes a third of its processor time.
    environ = {**os.environ, "GOGC": "off"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, input=stdin, env=environ)
    if done.returncode:
        raise CommandFailed(done.stdout + done.stderr)
    return done.stdout


def template(case: str, values: Values | None = None, *options: str, version: str = NEWEST, chart: Path = CHART) -> str:
    """Render the chart with the values of ci/<case>-values.yaml and `values`, which override them."""
    case_file = CHART / "ci" / f"{case}-values.yaml"
    overrides = msgspec.json.encode(values or {}).decode()
    arguments = ("template", "rel", chart, "--namespace", "shop", "--values", case_file, "--values", "-", *options)
    return helm(*arguments, version=version, stdin=overrides)


def render(case: str, values: Values | None = None, *options: str, chart: Path = CHART) -> Objects:
    """Render into objects by kind and name. The result is cached and must not be modified."""
    return _rendered(case, msgspec.json.encode(values or {}), options, chart)


@cache
def _rendered(case: str, values: bytes, options: tuple[str, ...], chart: Path) -> Objects:
    return by_name(read_all(template(case, msgspec.json.decode(values), *options, chart=chart)))


def render_alone(values: Values, chart: Path = CHART) -> Objects:
    """Render with these values only. The result is cached and must not be modified. Raises CommandFailed."""
    return _rendered_alone(msgspec.json.encode(values), chart)


@cache
def _rendered_alone(values: bytes, chart: Path) -> Objects:
    arguments = ("template", "rel", chart, "--namespace", "shop", "--values", "-")
    return by_name(read_all(helm(*arguments, stdin=values.decode())))


def read_all(text: str) -> Iterator[Any]:
    """Parse YAML documents, ten times faster than `yaml.safe_load_all`."""
    return yaml.load_all(text, yaml.CSafeLoader)


def by_name(objects: Iterable[Any]) -> Objects:
    """Return the objects by kind and name."""
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in objects if each}


def pods(objects: Objects) -> Iterator[tuple[str, Any]]:
    """Yield the spec of every pod with the name of its owner."""
    for name, each in objects.items():
        match each["kind"]:
            case "Deployment" | "StatefulSet" | "Job":
                yield name, each["spec"]["template"]["spec"]
            case "Pod":
                yield name, each["spec"]
            case _:
                continue


def container(objects: Objects, component: str) -> Any:
    """Return the first container of a component."""
    return objects[f"Deployment/rel-waybill-{component}"]["spec"]["template"]["spec"]["containers"][0]


def environment(objects: Objects, component: str) -> dict[str, Any]:
    """Return the environment variables of a component: value or reference by name."""
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container(objects, component)["env"]}
