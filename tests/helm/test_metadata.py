"""Metadata of the chart: addresses, images and changes; and the package with the addresses of a repository."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.rendering import pods, render, render_alone
from tests.helm.schema import CHART
from tests.helm.tools import binary

pytestmark = pytest.mark.slow

ROOT = CHART.parent
EXAMPLE = "https://git.example.com/waybill"
URL, IMAGE = "https://git.acme.test/team/waybill", "registry.acme.test/team/waybill"
OWN = re.compile(r"(?:/blob/main/|/raw/main/)(\S+)")


def metadata(chart: Path = CHART) -> dict[str, Any]:
    return yaml.safe_load((chart / "Chart.yaml").read_text())


def annotation(name: str, chart: Path = CHART) -> list[dict[str, str]]:
    return yaml.safe_load(metadata(chart)["annotations"][f"artifacthub.io/{name}"])


def test_chart_names_home_sources_icon_maintainers_and_licence() -> None:
    chart = metadata()
    assert chart["home"] == EXAMPLE
    assert chart["sources"] == [EXAMPLE]
    assert [set(each) for each in chart["maintainers"]] == [{"name", "url"}]
    assert chart["annotations"]["artifacthub.io/license"] in (ROOT / "pyproject.toml").read_text()
    paths = OWN.findall((CHART / "Chart.yaml").read_text())
    assert len(paths) == 4
    assert [path for path in paths if not (ROOT / path).is_file()] == []


def test_images_of_the_metadata_are_those_of_the_rendered_pods() -> None:
    rendered = {each["image"] for _, spec in pods(render("trial")) for each in spec["containers"]}
    assert {each["image"] for each in annotation("images")} == rendered


def test_changes_have_a_kind_of_artifact_hub() -> None:
    kinds = {"added", "changed", "deprecated", "removed", "fixed", "security"}
    changes = annotation("changes")
    assert changes
    assert all(each["kind"] in kinds and each["description"] for each in changes)


def test_package_has_the_addresses_of_its_repository(tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "HELM": str(binary("4.1"))}
    command = [ROOT / ".ci" / "package_chart", URL, IMAGE, tmp_path]
    subprocess.run(command, env=environ, check=True, capture_output=True, timeout=60)
    (package,) = tmp_path.glob("waybill-*.tgz")
    subprocess.run(["tar", "xf", package, "-C", tmp_path], check=True)  # noqa: S607 - the one on the path
    chart = tmp_path / "waybill"
    assert "example.com" not in (chart / "Chart.yaml").read_text()
    assert metadata(chart)["home"] == URL
    assert {each["image"].rpartition(":")[0] for each in annotation("images", chart)} == {IMAGE, "valkey/valkey"}
    config = {"existingConfigMap": "waybill"}
    values = {"config": config, "redis": {"url": "redis://valkey"}, "monitoring": {"prometheusRule": {"enabled": True}}}
    objects = render_alone(values, chart=chart)
    (container,) = objects["Deployment/rel-waybill-workers"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"{IMAGE}:{metadata()['appVersion']}"
    rules = objects["PrometheusRule/rel-waybill"]["spec"]["groups"][1]["rules"]
    runbook = f"{URL}/blob/v{metadata()['appVersion']}/docs/how-to/operations.md"
    assert {rule["annotations"]["runbook_url"].partition("#")[0] for rule in rules} == {runbook}


@pytest.mark.parametrize("arguments", [(), (URL,), (URL, IMAGE)])
def test_package_needs_all_arguments(arguments: tuple[str, ...]) -> None:
    done = subprocess.run([ROOT / ".ci" / "package_chart", *arguments], check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert "name " in done.stderr
