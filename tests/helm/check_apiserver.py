"""The chart on a real Kubernetes API server: install, upgrade, rollback and uninstall.

Not collected by `pytest`, since the server has to be built first (tests/helm/build_kube_apiserver):
KUBE=<folder of the binaries> pytest tests/helm/check_apiserver.py
"""

import base64
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm import guide
from tests.helm.cluster import Cluster, downgrade, downgrade_chart
from tests.helm.freeze import CASES as FROZEN_CASES
from tests.helm.freeze import FROZEN, values_of, versions
from tests.helm.rendering import CASES, CommandFailed, by_name, template
from tests.helm.schema import CHART
from tests.helm.test_upgrade import immutable

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PLURALS = {"NetworkPolicy": "networkpolicies", "Ingress": "ingresses"}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), Path(os.environ["KUBE"]).absolute()) as running:
        for name in ("webhooks", "stores"):  # used in ci/*.yaml
            body = {"metadata": {"name": name}, "value": 1000}
            assert running.call("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", body).status == 201
        yield running


@pytest.fixture(scope="session")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return downgrade_chart(tmp_path_factory.mktemp("chart"))


@pytest.fixture(autouse=True)
def shop(cluster: Cluster) -> Iterator[None]:
    """Create a namespace, and uninstall its releases afterwards: no controller removes a deleted namespace."""
    cluster.call("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
    yield
    for release in cluster.helm("list", "--short").split():
        cluster.helm("uninstall", release, "--no-hooks")


@pytest.mark.parametrize("case", CASES)
def test_objects_are_accepted(cluster: Cluster, chart: Path, case: str) -> None:
    """Dry run of every object, hooks included."""
    for each in yaml.safe_load_all(template(case, chart=chart)):
        if each:
            answer = cluster.call("POST", f"{collection(each)}?dryRun=All", each)
            assert answer.status == 201, answer.body


def collection(rendered: Any) -> str:
    """Return the URL path of the objects of this kind."""
    api, kind = rendered["apiVersion"], rendered["kind"]
    plural = PLURALS.get(kind, kind.lower() + ("es" if kind.endswith("s") else "s"))
    return f"/{'apis' if '/' in api else 'api'}/{api}/namespaces/shop/{plural}"


@pytest.mark.parametrize(
    ("name", "path", "wrong"),
    [
        ("Service/rel-waybill", ("spec", "ports", 0, "port"), 800_000),
        ("Deployment/rel-waybill-workers", ("spec", "selector", "matchLabels", "more"), "x"),
        ("NetworkPolicy/rel-waybill-workers", ("spec", "egress", 2, "to", 0, "ipBlock", "cidr"), "10.0.0.0/8"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_invalid_objects_are_rejected(
    cluster: Cluster, chart: Path, name: str, path: tuple[Any, ...], wrong: Any
) -> None:
    """Check that the dry run rejects invalid objects; the last case is an exception outside its block."""
    rendered = by_name(yaml.safe_load_all(template("minimal", chart=chart)))[name]
    parent = rendered
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = wrong
    assert cluster.call("POST", f"{collection(rendered)}?dryRun=All", rendered).status == 422


# upgrades


def frozen_chart(folder: Path, version: str, case: str) -> Path:
    """Create a chart of the frozen objects, so that Helm installs them unchanged."""
    chart = folder / f"frozen-{case}"
    (chart / "templates").mkdir(parents=True)
    (chart / "frozen.yaml").write_text(downgrade((FROZEN / version / f"{case}.yaml").read_text()))
    (chart / "templates" / "all.yaml").write_text('{{ .Files.Get "frozen.yaml" }}')
    (chart / "Chart.yaml").write_text(f"apiVersion: v2\nname: waybill\nversion: {version}\n")
    return chart


@pytest.mark.parametrize("version", versions())
@pytest.mark.parametrize(
    ("case", "helms"),
    [
        *((case, ("3.19", "4.1")) for case in FROZEN_CASES),
        ("trial", ("3.17", "3.19")),
        ("full", ("4.1", "4.1")),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_upgrade_and_rollback(  # noqa: PLR0917 - fixtures and three parameters
    cluster: Cluster, chart: Path, tmp_path: Path, version: str, case: str, helms: tuple[str, str]
) -> None:
    helm_before, helm_after = helms
    cluster.helm("install", "rel", frozen_chart(tmp_path, version, case), "--no-hooks", version=helm_before)
    frozen = stored(cluster)
    assert frozen
    values = values_of(version, case)
    cluster.helm("upgrade", "rel", chart, "--no-hooks", "--values", "-", version=helm_after, values=values)
    upgraded = stored(cluster)
    assert {name: upgraded[name]["metadata"]["uid"] for name in frozen} == {
        name: each["metadata"]["uid"] for name, each in frozen.items()
    }
    assert {name: immutable(upgraded)[name] for name in immutable(frozen)} == immutable(frozen)
    cluster.helm("rollback", "rel", "1", "--no-hooks", version=helm_after)
    assert stored(cluster).keys() == frozen.keys()
    cluster.helm("uninstall", "rel", "--no-hooks", version=helm_after)
    assert stored(cluster) == {}


def stored(cluster: Cluster) -> dict[str, Any]:
    """Return the objects of the release on the server."""
    kinds = "deployment,statefulset,service,configmap,networkpolicy,poddisruptionbudget,ingress,scaledobject,httproute"
    label = "app.kubernetes.io/instance=rel"
    listed = cluster.kubectl("get", kinds, "--namespace=shop", "--output=yaml", f"--selector={label}")
    return by_name(yaml.safe_load(listed)["items"])


def test_changed_selector_is_rejected(cluster: Cluster, chart: Path, tmp_path: Path) -> None:
    """Check that the server rejects a changed selector."""
    values = values_of(versions()[-1], "trial")
    cluster.helm("install", "rel", chart, "--no-hooks", "--values", "-", values=values)
    broken = tmp_path / "helm"
    shutil.copytree(chart, broken)
    path = broken / "templates" / "_helpers.tpl"
    path.write_text(path.read_text().replace("app.kubernetes.io/instance: ", "app.kubernetes.io/part-of: "))
    with pytest.raises(CommandFailed, match="field is immutable"):
        cluster.helm("upgrade", "rel", broken, "--no-hooks", "--values", "-", values=values)


@pytest.mark.parametrize("helm", ["3.19", "4.1"])
def test_upgrade_keeps_scaled_replicas(cluster: Cluster, chart: Path, helm: str) -> None:
    values = yaml.safe_load((CHART / "ci" / "keda-values.yaml").read_text())
    install = ("--install", "rel", chart, "--no-hooks", "--values", "-")
    cluster.helm("upgrade", *install, values=values, version=helm)
    cluster.kubectl("scale", "--namespace=shop", "--replicas=7", "deployment/rel-waybill-workers")
    more = {**values, "workers": {**values["workers"], "podAnnotations": {"changed": "yes"}}}
    cluster.helm("upgrade", *install, values=more, version=helm)
    workers = cluster.get("deployment", "rel-waybill-workers")
    assert workers["spec"]["template"]["metadata"]["annotations"]["changed"] == "yes"
    assert workers["spec"]["replicas"] == 7


def test_changed_rule_restarts_no_pods(cluster: Cluster, chart: Path) -> None:
    values = yaml.safe_load((CHART / "ci" / "minimal-values.yaml").read_text())
    install = ("--install", "rel", chart, "--no-hooks", "--values", "-")
    cluster.helm("upgrade", *install, values=values)
    generation = cluster.get("deployment", "rel-waybill-workers")["metadata"]["generation"]
    values["rules"]["files"]["more"] = [{"id": "more", "type": "customer", "actions": []}]
    cluster.helm("upgrade", *install, values=values)
    assert "more.yaml" in cluster.get("configmap", "rel-waybill-rules")["data"]
    assert cluster.get("deployment", "rel-waybill-workers")["metadata"]["generation"] == generation


# the guide


def test_commands_of_the_guide_install_the_release(cluster: Cluster, chart: Path) -> None:
    """Run the commands without hooks, since no pod runs on this server."""
    folder = chart.parent
    secrets = {"PACK_TOKEN": "t", "PACK_SECRET": "s", "OPS_TOKEN": "o"}
    (folder / "values.yaml").write_text(guide.block("yaml", "image:").replace("sha256:…", guide.DIGEST))
    script = guide.block("sh", "namespace shop").replace("kubectl create namespace shop", "kubectl get namespace shop")
    cluster.shell(script, folder, secrets)
    cluster.shell(guide.block("sh", "generic waybill-pack"), folder, secrets)
    lines = guide.block("sh", "helm upgrade --install").replace("-f values.yaml", "-f values.yaml --no-hooks")
    lint, install, _ = lines.splitlines()
    cluster.shell(f"{lint.replace('--no-hooks', '')}\n{install}", folder, {})
    secret = cluster.get("secret", "waybill-pack")["data"]
    digest = base64.b64decode(secret["OPS_TOKEN_SHA256"]).decode()
    assert digest == hashlib.sha256(b"o").hexdigest()
    assert cluster.get("deployment", "waybill-workers")["spec"]["replicas"] == 2
    assert cluster.get("externalsecret", "waybill-pack")["spec"]["target"]["name"] == "waybill-pack"
