"""Upgrades from every frozen version (tests/helm/freeze.py) are accepted by Kubernetes."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.helm.freeze import CASES, chart_version, freeze, objects_of, released, values_of, versions
from tests.helm.rendering import Objects, by_name, render, render_alone
from tests.helm.schema import CHART

pytestmark = pytest.mark.slow

VERSION_CASES = [(version, case) for version in versions() for case in CASES]

MUTABLE = {
    "replicas",
    "template",
    "updateStrategy",
    "minReadySeconds",
    "ordinals",
    "persistentVolumeClaimRetentionPolicy",
}
"""The mutable fields of a StatefulSet's spec."""


def immutable(objects: Objects) -> dict[str, Any]:
    """Return the immutable fields by kind and name of the object."""
    found: dict[str, Any] = {}
    for name, each in objects.items():
        spec = each.get("spec", {})
        match each["kind"]:
            case "Deployment":
                found[name] = spec["selector"]
            case "StatefulSet":
                found[name] = {key: value for key, value in spec.items() if key not in MUTABLE}
            case "Service":
                found[name] = spec.get("clusterIP") == "None"
            case "Secret":
                found[name] = each.get("type", "Opaque")
            case "Job":  # replaced, since Helm deletes the previous Job of a hook
                found[name] = each["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
            case _:
                continue
    return found


@pytest.mark.parametrize(("version", "case"), VERSION_CASES)
def test_frozen_values_are_still_valid(version: str, case: str) -> None:
    assert render_alone(values_of(version, case))


@pytest.mark.parametrize(("version", "case"), VERSION_CASES)
def test_object_names_do_not_change(version: str, case: str) -> None:
    """A renamed object is a new object: clients lose a Service, a StatefulSet loses its volume."""
    before, after = by_name(objects_of(version, case)), render_alone(values_of(version, case))
    assert before.keys() - after.keys() == set()


@pytest.mark.parametrize(("version", "case"), VERSION_CASES)
def test_immutable_fields_do_not_change(version: str, case: str) -> None:
    before = immutable(by_name(objects_of(version, case)))
    after = immutable(render_alone(values_of(version, case)))
    assert before
    assert {name: after[name] for name in before} == before


BREAKS: dict[str, tuple[str, str, str]] = {
    "a label of every selector": ("_helpers.tpl", "app.kubernetes.io/instance: ", "app.kubernetes.io/part-of: "),
    "the name of the volume": ("embedded/valkey.yaml", "        name: data\n", "        name: store\n"),
    "how the volume is mounted": ("embedded/valkey.yaml", "[ReadWriteOnce]", "[ReadWriteMany]"),
    "the Service of the StatefulSet": (
        "embedded/valkey.yaml",
        "serviceName: ",
        "podManagementPolicy: Parallel\n  serviceName: ",
    ),
    "a Service's address": ("embedded/valkey.yaml", "clusterIP: None", "type: ClusterIP"),
    "the type of a Secret": ("secrets.yaml", "type: Opaque", "type: waybill/store"),
    "a Job that stays": ("rules.yaml", "before-hook-creation", "hook-succeeded"),
}


@pytest.mark.parametrize(("file", "old", "new"), BREAKS.values(), ids=BREAKS)
def test_breaking_changes_are_detected(file: str, old: str, new: str, tmp_path: Path) -> None:
    """Check that the comparison above detects changes."""
    chart = tmp_path / "helm"
    shutil.copytree(CHART, chart)
    path = chart / "templates" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    version = versions()[-1]
    assert any(
        immutable(render_alone(values_of(version, case), chart)) != immutable(by_name(objects_of(version, case)))
        for case in CASES
    )


def test_released_version_is_not_overwritten(tmp_path: Path) -> None:
    freeze("1.2.3", tmp_path, released=())
    before = sorted(path.name for path in (tmp_path / "1.2.3").iterdir())
    assert before == sorted(f"{case}{end}" for case in CASES for end in (".yaml", "-values.yaml"))
    freeze("1.2.3", tmp_path, released=())
    with pytest.raises(FileExistsError):
        freeze("1.2.3", tmp_path, released=("1.2.3",))


def test_every_release_is_frozen() -> None:
    assert released() - set(versions()) == set()
    assert chart_version() in versions()


def test_selectors_do_not_depend_on_versions_or_labels(tmp_path: Path) -> None:
    newer_chart = tmp_path / "helm"
    shutil.copytree(CHART, newer_chart)
    chart = (newer_chart / "Chart.yaml").read_text()
    (newer_chart / "Chart.yaml").write_text(re.sub(r"(?m)^(version|appVersion): .*$", r'\1: "9.9.9"', chart))
    labels = {"commonLabels": {"team": "other"}}
    before, after = render("trial"), render("trial", labels, chart=newer_chart)
    for name in ("Deployment/rel-waybill-service", "Deployment/rel-waybill-workers", "StatefulSet/rel-waybill-valkey"):
        assert before[name]["spec"]["selector"] == after[name]["spec"]["selector"]
        assert (
            before[name]["spec"]["template"]["metadata"]["labels"]
            != after[name]["spec"]["template"]["metadata"]["labels"]
        )
    stores = [each["StatefulSet/rel-waybill-valkey"]["spec"] for each in (before, after)]
    assert stores[0]["volumeClaimTemplates"] == stores[1]["volumeClaimTemplates"]
    assert stores[0]["serviceName"] == stores[1]["serviceName"]
