"""Ways to install the chart: in an umbrella chart, by Argo CD or Flux, with a managed Redis, behind an egress proxy."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from tests.helm.rendering import CASES, Objects, by_name, container, environment, helm, pods, read_all, render, template
from tests.helm.schema import CHART

pytestmark = pytest.mark.slow

UMBRELLA = {"apiVersion": "v2", "name": "shop", "version": "1.0.0"}


def render_in_umbrella(folder: Path, values: dict[str, Any]) -> Objects:
    """Render the chart as a dependency of another chart, with its values below its name."""
    (folder / "charts").mkdir(parents=True)
    shutil.copytree(CHART, folder / "charts" / "waybill")
    dependency = {"name": "waybill", "version": yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]}
    (folder / "Chart.yaml").write_text(yaml.safe_dump(UMBRELLA | {"dependencies": [dependency]}))
    stdin = msgspec.json.encode(values).decode()
    return by_name(read_all(helm("template", "rel", folder, "--namespace", "shop", "--values", "-", stdin=stdin)))


def test_chart_is_a_dependency_of_an_umbrella_chart(tmp_path: Path) -> None:
    own = yaml.safe_load((CHART / "ci" / "minimal-values.yaml").read_text())
    shared = {"imageRegistry": "registry.acme.test", "other": {"domain": "acme.test"}}
    objects = render_in_umbrella(tmp_path / "shop", {"waybill": own, "global": shared})
    assert set(objects) == set(render("minimal"))
    images = {each["image"] for _, spec in pods(objects) for each in spec["containers"]}
    assert all(image.startswith("registry.acme.test/waybill:") for image in images)
    assert container(objects, "service")["env"] == container(render("minimal"), "service")["env"]


@pytest.mark.parametrize("case", CASES)
def test_rendering_is_the_same_every_time(case: str) -> None:
    """Argo CD and Flux render again at each comparison: a random value would be a change without end."""
    assert template(case) == template(case)


def test_hooks_are_those_that_argo_cd_and_flux_run() -> None:
    """Argo CD runs post-install and post-upgrade as PostSync, and ignores test hooks. Flux runs Helm itself."""
    hooks = {
        name: each["metadata"]["annotations"]
        for name, each in render("mesh").items()
        if "helm.sh/hook" in each["metadata"].get("annotations", {})
    }
    assert set(hooks) == {"Job/rel-waybill-rules", "Pod/rel-waybill-test"}
    rules = hooks["Job/rel-waybill-rules"]
    assert rules["helm.sh/hook"] == "post-install,post-upgrade,post-rollback"
    assert "before-hook-creation" in rules["helm.sh/hook-delete-policy"]


def test_managed_redis_with_tls_is_reached_by_both_components() -> None:
    objects = render("full")
    for component in ("service", "workers"):
        assert environment(objects, component)["WAYBILL_REDIS_URL"]["secretKeyRef"]["name"]
        mounted = {mount["name"]: mount["mountPath"] for mount in container(objects, component)["volumeMounts"]}
        assert environment(objects, component)["WAYBILL_REDIS_TLS_CA_FILE"].startswith(mounted["redis-ca"])
        egress = objects[f"NetworkPolicy/rel-waybill-{component}"]["spec"]["egress"]
        assert any(each["port"] == 6380 for rule in egress for each in rule["ports"])


def test_proxy_to_the_outside_is_a_setting_and_may_be_reached() -> None:
    proxy = {"to": [{"ipBlock": {"cidr": "10.0.0.7/32"}}], "ports": [{"port": 3128, "protocol": "TCP"}]}
    settings = {"outbound_proxy_url": "http://10.0.0.7:3128", "outbound_no_proxy": "erp.internal"}
    objects = render("minimal", {"settings": settings, "networkPolicy": {"extraEgress": {"workers": [proxy]}}})
    assert environment(objects, "workers")["WAYBILL_OUTBOUND_PROXY_URL"] == "http://10.0.0.7:3128"
    assert environment(objects, "workers")["WAYBILL_OUTBOUND_NO_PROXY"] == "erp.internal"
    assert proxy in objects["NetworkPolicy/rel-waybill-workers"]["spec"]["egress"]
    assert proxy not in objects["NetworkPolicy/rel-waybill-service"]["spec"]["egress"]


def test_notes_name_the_scraping_namespace_and_maxmemory(notes: Callable[..., str]) -> None:
    scraped = {"podMonitor": {"enabled": True}}
    warning = "networkPolicy.operators is empty: only pods of the namespace shop may scrape /metrics"
    assert warning in notes("minimal", monitoring=scraped)
    prometheus = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    assert warning not in notes("minimal", monitoring=scraped, networkPolicy={"operators": prometheus})
    assert "the store needs maxmemory" in notes("minimal")
    assert "the store needs maxmemory" not in notes("trial")
