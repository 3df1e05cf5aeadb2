"""An upgrade from any version that was kept (tests/helm/freeze.py) is one that Kubernetes takes."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.helm.freeze import CASES, chart_version, freeze, objects_of, released, values_of, versions
from tests.helm.rendering import Objects, by_name, render, render_alone
from tests.helm.schema import CHART

KEPT = [(version, case) for version in versions() for case in CASES]

MUTABLE = {
    "replicas",
    "template",
    "updateStrategy",
    "minReadySeconds",
    "ordinals",
    "persistentVolumeClaimRetentionPolicy",
}
"""What may change in a StatefulSet's spec; nothing else may."""


def immutable(objects: Objects) -> dict[str, Any]:
    """Take what the Kubernetes API refuses to change, by the object's kind and name."""
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
            case "Job":  # replaced as a whole, because Helm deletes a hook's before it makes the next
                found[name] = each["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
            case _:
                continue
    return found


@pytest.mark.parametrize(("version", "case"), KEPT)
def test_values_that_were_good_are_good_still(version: str, case: str) -> None:
    assert render_alone(values_of(version, case))


@pytest.mark.parametrize(("version", "case"), KEPT)
def test_no_object_loses_its_name(version: str, case: str) -> None:
    """Another name is another object: a Service's clients would lose it, a StatefulSet's volume stay behind."""
    before, after = by_name(objects_of(version, case)), render_alone(values_of(version, case))
    assert before.keys() - after.keys() == set()


@pytest.mark.parametrize(("version", "case"), KEPT)
def test_what_kubernetes_calls_immutable_stays(version: str, case: str) -> None:
    before = immutable(by_name(objects_of(version, case)))
    after = immutable(render_alone(values_of(version, case)))
    assert before
    assert {name: after[name] for name in before} == before


BREAKS: dict[str, tuple[str, str, str]] = {
    "a label of every selector": ("_helpers.tpl", "app.kubernetes.io/instance: ", "app.kubernetes.io/part-of: "),
    "the label of the shards": ("workers/deployment.yaml", "waybill/shard: ", "waybill.dev/shard: "),
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


@pytest.mark.parametrize(("file", "was", "becomes"), BREAKS.values(), ids=BREAKS)
def test_what_would_break_an_upgrade_is_seen(file: str, was: str, becomes: str, tmp_path: Path) -> None:
    """Otherwise the test above would be green whatever the chart says."""
    chart = tmp_path / "helm"
    shutil.copytree(CHART, chart)
    path = chart / "templates" / file
    assert was in path.read_text()
    path.write_text(path.read_text().replace(was, becomes))
    version = versions()[-1]
    assert any(
        immutable(render_alone(values_of(version, case), chart)) != immutable(by_name(objects_of(version, case)))
        for case in CASES
    )


def test_what_was_released_is_not_written_again(tmp_path: Path) -> None:
    freeze("1.2.3", tmp_path, released=())
    before = sorted(path.name for path in (tmp_path / "1.2.3").iterdir())
    assert before == sorted(f"{case}{end}" for case in CASES for end in (".yaml", "-values.yaml"))
    freeze("1.2.3", tmp_path, released=())
    with pytest.raises(FileExistsError):
        freeze("1.2.3", tmp_path, released=("1.2.3",))


def test_every_release_is_kept() -> None:
    assert released() - set(versions()) == set()
    assert chart_version() in versions()


def test_selectors_hold_nothing_that_an_upgrade_changes(tmp_path: Path) -> None:
    later = tmp_path / "helm"
    shutil.copytree(CHART, later)
    chart = (later / "Chart.yaml").read_text()
    (later / "Chart.yaml").write_text(re.sub(r"(?m)^(version|appVersion): .*$", r'\1: "9.9.9"', chart))
    labels = {"commonLabels": {"team": "other"}}
    before, after = render("trial"), render("trial", labels, chart=later)
    for name in ("Deployment/rel-waybill-service", "Deployment/rel-waybill-workers", "StatefulSet/rel-waybill-valkey"):
        assert before[name]["spec"]["selector"] == after[name]["spec"]["selector"]
        assert (
            before[name]["spec"]["template"]["metadata"]["labels"]
            != after[name]["spec"]["template"]["metadata"]["labels"]
        )
    stores = [each["StatefulSet/rel-waybill-valkey"]["spec"] for each in (before, after)]
    assert stores[0]["volumeClaimTemplates"] == stores[1]["volumeClaimTemplates"]
    assert stores[0]["serviceName"] == stores[1]["serviceName"]
