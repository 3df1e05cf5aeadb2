"""The chart on a real Kubernetes API: taken, upgraded from the version before, rolled back, and removed.

Not found by `pytest`, since the server has to be built first (tests/helm/build_kube_apiserver):
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
from tests.helm.cluster import Cluster, aged, aged_chart
from tests.helm.freeze import CASES as KEPT_CASES
from tests.helm.freeze import FROZEN, values_of, versions
from tests.helm.rendering import CASES, Refused, by_name, template
from tests.helm.schema import CHART
from tests.helm.test_upgrade import immutable

pytestmark = pytest.mark.timeout(120)

PLURALS = {"NetworkPolicy": "networkpolicies", "Ingress": "ingresses"}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), Path(os.environ["KUBE"]).absolute()) as running:
        for name in ("webhooks", "stores"):  # which ci/*.yaml take for granted
            body = {"metadata": {"name": name}, "value": 1000}
            assert running.call("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", body).status == 201
        yield running


@pytest.fixture(scope="session")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return aged_chart(tmp_path_factory.mktemp("chart"))


@pytest.fixture(autouse=True)
def shop(cluster: Cluster) -> Iterator[None]:
    """An empty namespace for each test; nobody is there who would clean one that is deleted, so its objects are."""
    cluster.call("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
    yield
    for release in cluster.helm("list", "--short").split():
        cluster.helm("uninstall", release, "--no-hooks")


@pytest.mark.parametrize("case", CASES)
def test_every_object_is_taken(cluster: Cluster, chart: Path, case: str) -> None:
    """Hooks as well: validated, admitted, defaulted, and not kept."""
    for each in yaml.safe_load_all(template(case, chart=chart)):
        if each:
            answer = cluster.call("POST", f"{collection(each)}?dryRun=All", each)
            assert answer.status == 201, answer.body


def collection(written: Any) -> str:
    """Give where such objects are made."""
    api, kind = written["apiVersion"], written["kind"]
    plural = PLURALS.get(kind, kind.lower() + ("es" if kind.endswith("s") else "s"))
    return f"/{'apis' if '/' in api else 'api'}/{api}/namespaces/shop/{plural}"


@pytest.mark.parametrize(
    ("made", "path", "wrong"),
    [
        ("Service/rel-waybill", ("spec", "ports", 0, "port"), 800_000),
        ("Deployment/rel-waybill-workers", ("spec", "selector", "matchLabels", "more"), "x"),
        ("NetworkPolicy/rel-waybill-workers", ("spec", "egress", 2, "to", 0, "ipBlock", "cidr"), "10.0.0.0/8"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_the_server_refuses_what_is_wrong(
    cluster: Cluster, chart: Path, made: str, path: tuple[Any, ...], wrong: Any
) -> None:
    """Otherwise the test above would say nothing: the last one is an exception outside of its own block."""
    written = by_name(yaml.safe_load_all(template("minimal", chart=chart)))[made]
    place = written
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = wrong
    assert cluster.call("POST", f"{collection(written)}?dryRun=All", written).status == 422


# upgrades


def kept_chart(folder: Path, version: str, case: str) -> Path:
    """Make a chart of what was kept, so that Helm installs it as it was."""
    chart = folder / f"kept-{case}"
    (chart / "templates").mkdir(parents=True)
    (chart / "kept.yaml").write_text(aged((FROZEN / version / f"{case}.yaml").read_text()))
    (chart / "templates" / "all.yaml").write_text('{{ .Files.Get "kept.yaml" }}')
    (chart / "Chart.yaml").write_text(f"apiVersion: v2\nname: waybill\nversion: {version}\n")
    return chart


@pytest.mark.parametrize("version", versions())
@pytest.mark.parametrize(
    ("case", "helms"),
    [
        *((case, ("3.19", "4.1")) for case in KEPT_CASES),
        ("trial", ("3.17", "3.19")),
        ("full", ("4.1", "4.1")),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_an_upgrade_and_the_way_back(  # noqa: PLR0917 - fixtures and three parameters
    cluster: Cluster, chart: Path, tmp_path: Path, version: str, case: str, helms: tuple[str, str]
) -> None:
    before, after = helms
    cluster.helm("install", "rel", kept_chart(tmp_path, version, case), "--no-hooks", version=before)
    kept = stored(cluster)
    assert kept
    values = values_of(version, case)
    cluster.helm("upgrade", "rel", chart, "--no-hooks", "--values", "-", version=after, values=values)
    upgraded = stored(cluster)
    assert {name: upgraded[name]["metadata"]["uid"] for name in kept} == {
        name: each["metadata"]["uid"] for name, each in kept.items()
    }
    assert {name: immutable(upgraded)[name] for name in immutable(kept)} == immutable(kept)
    cluster.helm("rollback", "rel", "1", "--no-hooks", version=after)
    assert stored(cluster).keys() == kept.keys()
    cluster.helm("uninstall", "rel", "--no-hooks", version=after)
    assert stored(cluster) == {}


def stored(cluster: Cluster) -> dict[str, Any]:
    """Give what the server keeps of the release."""
    kinds = "deployment,statefulset,service,configmap,networkpolicy,poddisruptionbudget,ingress,scaledobject,httproute"
    label = "app.kubernetes.io/instance=rel"
    listed = cluster.kubectl("get", kinds, "--namespace=shop", "--output=yaml", f"--selector={label}")
    return by_name(yaml.safe_load(listed)["items"])


def test_a_changed_selector_is_refused(cluster: Cluster, chart: Path, tmp_path: Path) -> None:
    """So the server would have told."""
    values = values_of(versions()[-1], "trial")
    cluster.helm("install", "rel", chart, "--no-hooks", "--values", "-", values=values)
    broken = tmp_path / "helm"
    shutil.copytree(chart, broken)
    path = broken / "templates" / "_helpers.tpl"
    path.write_text(path.read_text().replace("app.kubernetes.io/instance: ", "app.kubernetes.io/part-of: "))
    with pytest.raises(Refused, match="field is immutable"):
        cluster.helm("upgrade", "rel", broken, "--no-hooks", "--values", "-", values=values)


@pytest.mark.parametrize("helm", ["3.19", "4.1"])
def test_what_a_scaler_chose_outlives_an_upgrade(cluster: Cluster, chart: Path, helm: str) -> None:
    values = yaml.safe_load((CHART / "ci" / "keda-values.yaml").read_text())
    install = ("--install", "rel", chart, "--no-hooks", "--values", "-")
    cluster.helm("upgrade", *install, values=values, version=helm)
    cluster.kubectl("scale", "--namespace=shop", "--replicas=7", "deployment/rel-waybill-workers")
    more = {**values, "workers": {**values["workers"], "podAnnotations": {"changed": "yes"}}}
    cluster.helm("upgrade", *install, values=more, version=helm)
    workers = cluster.get("deployment", "rel-waybill-workers")
    assert workers["spec"]["template"]["metadata"]["annotations"]["changed"] == "yes"
    assert workers["spec"]["replicas"] == 7


def test_a_changed_rule_restarts_nothing(cluster: Cluster, chart: Path) -> None:
    values = yaml.safe_load((CHART / "ci" / "minimal-values.yaml").read_text())
    install = ("--install", "rel", chart, "--no-hooks", "--values", "-")
    cluster.helm("upgrade", *install, values=values)
    before = cluster.get("deployment", "rel-waybill-workers")["metadata"]["generation"]
    values["rules"]["files"]["more"] = [{"id": "more", "type": "customer", "actions": []}]
    cluster.helm("upgrade", *install, values=values)
    assert "more.yaml" in cluster.get("configmap", "rel-waybill-rules")["data"]
    assert cluster.get("deployment", "rel-waybill-workers")["metadata"]["generation"] == before


# the guide


def test_the_worked_installation_can_be_typed(cluster: Cluster, chart: Path) -> None:
    """Without what nobody is there for: hooks, which are pods that would have to end."""
    folder = chart.parent
    secrets = {"PACK_TOKEN": "t", "PACK_SECRET": "s", "OPS_TOKEN": "o"}
    (folder / "values.yaml").write_text(guide.block("yaml", "image:").replace("sha256:…", guide.DIGEST))
    script = guide.block("sh", "namespace shop").replace("kubectl create namespace shop", "kubectl get namespace shop")
    cluster.shell(script, folder, secrets)
    cluster.shell(guide.block("sh", "generic waybill-pack"), folder, secrets)
    lines = guide.block("sh", "helm upgrade --install").replace("-f values.yaml", "-f values.yaml --no-hooks")
    lint, install, _ = lines.splitlines()
    cluster.shell(f"{lint.replace('--no-hooks', '')}\n{install}", folder, {})
    made = cluster.get("secret", "waybill-pack")["data"]
    digest = base64.b64decode(made["OPS_TOKEN_SHA256"]).decode()
    assert digest == hashlib.sha256(b"o").hexdigest()
    assert cluster.get("deployment", "waybill-workers")["spec"]["replicas"] == 2
    assert cluster.get("externalsecret", "waybill-pack")["spec"]["target"]["name"] == "waybill-pack"
