"""Objects of the chart, rendered by a real Helm."""

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.actions import load_actions
from service.configuration import read_config
from service.rules import read_rule_files
from service.settings import Settings, load_settings
from service.store.shards import shard_settings
from tests.helm.rendering import CASES, Objects, container, environment, helm, pods, render, template
from tests.helm.schema import CHART
from tests.helm.tools import HELMS

pytestmark = pytest.mark.slow

SECRETS = ("PACK_TOKEN", "ENGAGE_ID", "ENGAGE_SECRET", "FLOW_TOKEN", "ERP_KEY", "PACK_SECRET", "PACK_SECRET_OLD")


@pytest.mark.parametrize("case", CASES)
def test_all_helm_versions_render_the_same(case: str) -> None:
    values = CHART / "ci" / f"{case}-values.yaml"
    for version in HELMS:
        assert "0 chart(s) failed" in helm("lint", "--strict", CHART, "--values", values, version=version)
    assert len({template(case, version=version) for version in HELMS}) == 1


def test_chart_lints_without_values() -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART)


# pods


@pytest.mark.parametrize("case", CASES)
def test_pods_conform_to_the_restricted_profile(case: str) -> None:
    for name, pod in pods(render(case)):
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for each in pod["containers"]:
            security = each["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert each["resources"]["limits"]["memory"], name
            assert "tmp" in {mount["name"] for mount in each["volumeMounts"]}, name


@pytest.mark.parametrize("case", CASES)
def test_service_links_are_disabled(case: str) -> None:
    """A Service named waybill-admin would set WAYBILL_ADMIN_PORT to tcp://…, and the process would not start."""
    assert all(pod["enableServiceLinks"] is False for _, pod in pods(render(case)))


def test_components_run_the_same_image_with_their_commands() -> None:
    objects = render("full")
    service, workers = container(objects, "service"), container(objects, "workers")
    assert service["image"] == workers["image"] == f"registry.example.com/waybill@sha256:{'0123456789abcdef' * 4}"
    assert (service["args"], workers["args"]) == (["serve"], ["worker"])


def test_tag_is_used_without_a_digest() -> None:
    assert container(render("minimal"), "service")["image"] == "waybill:0.1.0"
    assert container(render("minimal", {"image": {"tag": "1.2"}}), "service")["image"] == "waybill:1.2"


@pytest.mark.parametrize("component", ["service", "workers"])
def test_probes_use_the_health_endpoints(component: str) -> None:
    pod = container(render("minimal"), component)
    assert pod["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "admin"}
    assert pod["startupProbe"]["httpGet"] == {"path": "/healthz", "port": "admin"}
    assert pod["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "admin"}


@pytest.mark.parametrize("seconds", [1, 60, 900])
def test_attempt_timeout_determines_drain_timeout_and_grace_period(seconds: int) -> None:
    objects = render("minimal", {"workers": {"attemptTimeoutSeconds": seconds, "preStopSeconds": 3}})
    pod = objects["Deployment/rel-waybill-workers"]["spec"]["template"]["spec"]
    settings = settings_of(objects, "workers")
    assert settings.attempt_timeout_seconds == settings.drain_timeout_seconds == seconds
    assert pod["terminationGracePeriodSeconds"] == 3 + seconds + 10


def test_service_waits_before_sigterm() -> None:
    objects = render("minimal")
    pod = objects["Deployment/rel-waybill-service"]["spec"]["template"]["spec"]
    assert container(objects, "service")["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "5"]
    assert settings_of(objects, "service").shutdown_timeout_seconds == 20
    assert pod["terminationGracePeriodSeconds"] == 5 + 20 + 10


def settings_of(objects: Objects, component: str) -> Settings:
    """Load the settings from the literal environment variables; values of Secrets are unknown."""
    rendered = environment(objects, component)
    return load_settings({name: value for name, value in rendered.items() if isinstance(value, str)})


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("component", ["service", "workers"])
def test_rendered_settings_are_valid(case: str, component: str) -> None:
    assert settings_of(render(case), component).config == "/etc/waybill/config/waybill.yaml"


def test_large_numbers_are_rendered_without_exponent() -> None:
    assert environment(render("full"), "service")["WAYBILL_BACKLOG_EVENTS_MAX"] == "3000000"
    assert environment(render("full"), "service")["WAYBILL_DECLARED_LOSS_WINDOW_SECONDS"] == "1.5"


def test_component_settings_override_common_settings() -> None:
    objects = render("full")
    assert environment(objects, "workers")["WAYBILL_LOG_LEVEL"] == "debug"
    assert environment(objects, "service")["WAYBILL_LOG_LEVEL"] == "warning"


def test_pods_spread_over_hosts_and_zones() -> None:
    for component in ("service", "workers"):
        pod = render("minimal")[f"Deployment/rel-waybill-{component}"]["spec"]["template"]["spec"]
        spread = pod["topologySpreadConstraints"]
        assert [each["topologyKey"] for each in spread] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
        assert all(each["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] == component for each in spread)


# configuration, rules, secrets


@pytest.mark.parametrize("case", ["minimal", "full", "sentinel", "keda", "trial"])
def test_rendered_configuration_and_rules_are_valid(case: str, tmp_path: Path) -> None:
    objects = render(case)
    path = tmp_path / "waybill.yaml"
    text: str = objects["ConfigMap/rel-waybill-config"]["data"]["waybill.yaml"]
    path.write_text(text.replace("file: /run/secrets/ofn/token", "env: PACK_TOKEN"))
    secrets = dict.fromkeys((*SECRETS, "FLOW_PASSWORD"), "x")
    secrets |= {"ERP_WEBHOOK_SECRET": "whsec_" + "MDEy" * 8, "OPS_TOKEN_SHA256": "ab" * 32}
    reading = read_config(path, secrets)
    assert reading.mistakes == ()
    assert reading.config
    assert reading.config.rules == ("/etc/waybill/rules/*/*.yaml",)
    for name, rules in objects["ConfigMap/rel-waybill-rules"]["data"].items():
        (tmp_path / name).write_text(rules)
        assert read_rule_files([tmp_path / name], load_actions())[0].rules


def test_configuration_equals_the_values() -> None:
    values = yaml.safe_load((CHART / "ci" / "full-values.yaml").read_text())
    objects = render("full")
    written = yaml.safe_load(objects["ConfigMap/rel-waybill-config"]["data"]["waybill.yaml"])
    assert written["sources"] == values["config"]["sources"]
    assert written["platforms"] == values["config"]["platforms"]
    rules = objects["ConfigMap/rel-waybill-rules"]["data"]
    assert {name: yaml.safe_load(text) for name, text in rules.items()} == {
        f"{name}.yaml": rules for name, rules in values["rules"]["files"].items()
    }


def test_only_a_changed_configuration_restarts_pods() -> None:
    def annotations(**values: object) -> dict[str, str]:
        pod = render("minimal", values)["Deployment/rel-waybill-workers"]["spec"]["template"]
        return pod["metadata"]["annotations"]

    before = annotations()
    assert annotations(config={"outbound": {"allow_private_hosts": ["erp"]}}) != before
    assert annotations(workers={"replicas": 9}) == before
    assert annotations(rules={"files": {"more": [{"id": "r", "type": "customer"}]}}) == before


def test_job_publishes_rules_after_install_upgrade_and_rollback() -> None:
    objects = render("full")
    job = objects["Job/rel-waybill-rules"]
    (pod,) = job["spec"]["template"]["spec"]["containers"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "post-install,post-upgrade,post-rollback"
    assert pod["args"][:2] == ["rules", "apply"]
    assert pod["args"][-2:] == ["--output", "json"]
    mounted = {mount["name"]: mount["mountPath"] for mount in pod["volumeMounts"]}
    assert mounted["rules"] == "/etc/waybill/rules/release"
    assert mounted["rules-0"] == "/etc/waybill/rules/existing-0"


def test_publishing_can_be_disabled() -> None:
    assert "Job/rel-waybill-rules" not in render("no-ingress")


def test_store_url_is_read_from_a_secret() -> None:
    url = {"secretKeyRef": {"name": "rel-waybill-redis", "key": "url"}}
    objects = render("no-ingress")
    assert environment(objects, "service")["WAYBILL_REDIS_URL"] == url
    assert objects["Secret/rel-waybill-redis"]["stringData"]["url"].startswith("redis://:password@")


def test_host_user_and_password_are_read_from_a_secret_without_a_url() -> None:
    existing = {"name": "valkey", "hostKey": "host", "port": 6380, "database": 2, "tls": True}
    credentials = {"name": "valkey", "usernameKey": "user", "passwordKey": "pass"}
    objects = render("no-ingress", {"redis": {"url": "", "existingSecret": existing, "credentialsSecret": credentials}})
    for component in ("service", "workers"):
        rendered = environment(objects, component)
        assert rendered["WAYBILL_REDIS_URL"] == "rediss://$(REDIS_HOST):6380/2"
        keys = {name: rendered[name]["secretKeyRef"] for name in ("REDIS_HOST", "WAYBILL_REDIS_USERNAME")}
        assert keys["REDIS_HOST"] == {"name": "valkey", "key": "host"}
        assert keys["WAYBILL_REDIS_USERNAME"] == {"name": "valkey", "key": "user"}
        assert rendered["WAYBILL_REDIS_PASSWORD"] == {"secretKeyRef": {"name": "valkey", "key": "pass"}}


def test_installation_has_the_id_of_the_release_unless_it_is_set() -> None:
    assert environment(render("no-ingress"), "workers")["WAYBILL_INSTALLATION_ID"] == "shop/rel-waybill"
    objects = render("no-ingress", {"settings": {"installation_id": "moved"}})
    assert environment(objects, "service")["WAYBILL_INSTALLATION_ID"] == "moved"


def test_sentinels_and_their_password_are_set() -> None:
    rendered = environment(render("sentinel"), "workers")
    assert rendered["WAYBILL_REDIS_SENTINEL"].count(":26379") == 3
    assert rendered["WAYBILL_REDIS_SENTINEL_PRIMARY"] == "orders"
    assert rendered["WAYBILL_REDIS_SENTINEL_PASSWORD"]["secretKeyRef"]["key"] == "sentinel-password"


def test_sources_can_have_separate_secrets() -> None:
    objects = render("full")
    assert environment(objects, "service")["FLOW_PASSWORD"] == {"secretKeyRef": {"name": "flow", "key": "password"}}
    assert {"secretRef": {"name": "waybill-platforms"}} in container(objects, "service")["envFrom"]


def test_changed_config_restarts_pods_unless_they_shall_reload_it() -> None:
    def annotations(**values: object) -> dict[str, str]:
        pod = render("trial", values)["Deployment/rel-waybill-service"]
        return pod["spec"]["template"]["metadata"]["annotations"]

    assert "checksum/config" in annotations()
    assert "checksum/config" not in annotations(restartOnConfigChange=False)


def test_changed_trial_secret_restarts_pods() -> None:
    def checksum(text: str) -> str:
        pod = render("trial", {"secrets": {"trial": {"PACK_SECRET": text}}})["Deployment/rel-waybill-service"]
        return pod["spec"]["template"]["metadata"]["annotations"]["checksum/trial"]

    assert checksum("a") != checksum("b")


def test_embedded_store_is_durable() -> None:
    store = render("trial")["StatefulSet/rel-waybill-valkey"]["spec"]
    args = store["template"]["spec"]["containers"][0]["args"]
    given = {name.removeprefix("--"): value for name, value in pairwise(args) if name.startswith("--")}
    assert given["appendonly"] == "yes"
    assert given["appendfsync"] == "always"
    assert given["maxmemory-policy"] == "noeviction"
    assert store["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]


# the network


def test_only_webhooks_are_routed() -> None:
    objects = render("full")
    (path,) = objects["Ingress/rel-waybill"]["spec"]["rules"][0]["http"]["paths"]
    assert path["path"] == "/webhooks/"
    assert path["backend"]["service"] == {"name": "rel-waybill", "port": {"name": "webhooks"}}
    (match,) = objects["HTTPRoute/rel-waybill"]["spec"]["rules"][0]["matches"]
    assert match["path"] == {"type": "PathPrefix", "value": "/webhooks/"}


@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort", "LoadBalancer"])
def test_admin_port_is_always_internal(kind: str) -> None:
    objects = render("minimal", {"service": {"serviceType": kind}})
    outside, inside = (objects[f"Service/rel-waybill{end}"]["spec"] for end in ("", "-admin"))
    assert (outside["type"], [port["targetPort"] for port in outside["ports"]]) == (kind, ["webhooks"])
    assert (inside["type"], [port["targetPort"] for port in inside["ports"]]) == ("ClusterIP", ["admin"])


def test_worker_egress_excludes_private_networks_and_cloud_metadata() -> None:
    egress = render("minimal")["NetworkPolicy/rel-waybill-workers"]["spec"]["egress"]
    blocks = {peer["ipBlock"]["cidr"]: peer["ipBlock"]["except"] for peer in egress[-1]["to"]}
    assert {"10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"} <= set(blocks["0.0.0.0/0"])
    assert {"fc00::/7", "fe80::/10"} <= set(blocks["::/0"])
    assert egress[-1]["ports"] == [{"port": 443, "protocol": "TCP"}]


def ports_out(objects: Objects, component: str) -> list[list[int]]:
    egress = objects[f"NetworkPolicy/rel-waybill-{component}"]["spec"]["egress"]
    return [[port["port"] for port in rule["ports"]] for rule in egress]


def test_service_egress_allows_only_the_store() -> None:
    assert ports_out(render("minimal"), "service") == [[53, 53], [6379, 26379]]


def test_service_egress_allows_platforms_with_admin_tokens() -> None:
    """The dry runs of the admin API fetch records."""
    objects = render("full")
    assert ports_out(objects, "service") == [[53, 53], [6380], [443], [4318]]
    assert ports_out(objects, "workers") == [[53, 53], [6380], [443], [4318], [8443]], "those of extraEgress.workers"
    never = render("full", {"networkPolicy": {"serviceOutbound": "never"}})
    assert ports_out(never, "service") == [[53, 53], [6380], [4318]]
    always = render("no-ingress", {"networkPolicy": {"serviceOutbound": "always"}})
    assert ports_out(always, "service")[-1] == [443]


def test_ingress_peers_of_both_ports() -> None:
    webhooks, admin = render("full")["NetworkPolicy/rel-waybill-service"]["spec"]["ingress"]
    assert webhooks["ports"] == [{"port": "webhooks", "protocol": "TCP"}]
    assert webhooks["from"][0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] == "ingress-nginx"
    assert admin["ports"] == [{"port": "admin", "protocol": "TCP"}]
    assert admin["from"][0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] == "monitoring"


def test_embedded_store_accepts_only_pods_of_the_release() -> None:
    (rule,) = render("trial", {"workers": {"autoscaling": {"kind": "none"}}})["NetworkPolicy/rel-waybill-valkey"][
        "spec"
    ]["ingress"]
    assert rule["from"] == [
        {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "waybill", "app.kubernetes.io/instance": "rel"}}}
    ]


# scaling and upgrades


def test_replicas_are_not_set_with_autoscaling() -> None:
    for case, component, kind in (("full", "service", "HorizontalPodAutoscaler"), ("keda", "workers", "ScaledObject")):
        objects = render(case)
        assert "replicas" not in objects[f"Deployment/rel-waybill-{component}"]["spec"]
        assert (
            objects[f"{kind}/rel-waybill-{component}"]["spec"]["scaleTargetRef"]["name"] == f"rel-waybill-{component}"
        )
    assert render("minimal")["Deployment/rel-waybill-workers"]["spec"]["replicas"] == 2


def test_keda_counts_jobs_of_the_embedded_store() -> None:
    triggers = render("trial", {"settings": {"shards": 16}})["ScaledObject/rel-waybill-workers"]["spec"]["triggers"]
    assert {trigger["type"] for trigger in triggers} == {"redis"}
    queues = [shard_settings(Settings(), index).queue for index in range(16)]
    assert [trigger["metadata"]["listName"] for trigger in triggers] == queues
    assert {trigger["metadata"]["address"] for trigger in triggers} == {"rel-waybill-valkey.shop.svc:6379"}
    assert {trigger["metadata"]["listLength"] for trigger in triggers} == {"3"}  # 50 jobs per pod in 16 shards


def test_keda_uses_sentinels_with_both_passwords() -> None:
    objects = render("sentinel", {"settings": {"key_prefix": "orders:", "shards": 1}})
    (trigger,) = objects["ScaledObject/rel-waybill-workers"]["spec"]["triggers"]
    assert (trigger["type"], trigger["metadata"]["sentinelMaster"]) == ("redis-sentinel", "orders")
    assert trigger["metadata"]["listName"] == "{orders:00:st}:queue"
    refs = objects["TriggerAuthentication/rel-waybill-workers"]["spec"]["secretTargetRef"]
    assert {ref["parameter"]: ref["key"] for ref in refs} == {
        "password": "password",
        "sentinelPassword": "sentinel-password",
    }


def test_keda_can_use_the_metric_of_due_jobs() -> None:
    trigger = render("keda")["ScaledObject/rel-waybill-workers"]["spec"]["triggers"][0]
    assert trigger["type"] == "prometheus"
    expected = trigger["metadata"]["query"]
    series = 'waybill_queue_jobs{namespace="shop",state="due",pod=~"rel-waybill-workers-.*"}'
    assert expected == f"sum(max by (shard) ({series}))"


def test_disruption_budget_allows_one_pod_and_evicts_unhealthy_pods() -> None:
    for component in ("service", "workers"):
        spec = render("minimal")[f"PodDisruptionBudget/rel-waybill-{component}"]["spec"]
        assert spec["maxUnavailable"] == 1
        assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_object_names_are_short_enough() -> None:
    names = [name.split("/") for name in render("full", {"fullnameOverride": "x" * 80})]
    free = {"ConfigMap", "GrafanaDashboard"}  # names that are not used as labels or hosts
    assert [name for kind, name in names if kind not in free and len(name) > 63] == []


# monitoring, notes, test


def test_dashboard_is_rendered_unchanged(tmp_path: Path) -> None:
    chart = tmp_path / "helm"
    shutil.copytree(CHART, chart)
    (chart / "dashboards").mkdir(exist_ok=True)
    text = '{"legendFormat": "{{source}}", "title": "ü"}\n'
    (chart / "dashboards" / "intake.json").write_text(text)
    rendered = render("full", chart=chart)["ConfigMap/rel-waybill-dashboard-intake"]
    assert rendered["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert rendered["data"] == {"intake.json": text}


@pytest.mark.parametrize(("store", "other"), [("loki", "victorialogs"), ("victorialogs", "loki")])
def test_dashboards_use_the_configured_log_store(store: str, other: str) -> None:
    rendered = render("full", {"monitoring": {"dashboards": {"logStore": store}}})
    assert f"ConfigMap/rel-waybill-dashboard-waybill-{store}" in rendered
    assert f"ConfigMap/rel-waybill-dashboard-waybill-{other}" not in rendered


def test_loki_rules_contain_alerts() -> None:
    rendered = render("full")["ConfigMap/rel-waybill-loki-rules"]
    assert rendered["metadata"]["labels"]["loki_rule"] == "1"
    assert yaml.safe_load(rendered["data"]["waybill.yaml"])["groups"]


def test_prometheus_rule_contains_chart_alerts_and_extra_groups() -> None:
    spec = render("full")["PrometheusRule/rel-waybill"]["spec"]
    names = [group["name"] for group in spec["groups"]]
    assert names[-1] == "own"
    assert len(names) > 1


def alerts_of(groups: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def test_alerts_concern_the_pods_of_their_release_only() -> None:
    objects = render("full", {"nameOverride": "hooks"})
    groups = objects["PrometheusRule/rel-hooks"]["spec"]["groups"][:-1]
    expressions = [rule["expr"] for group in groups for rule in group["rules"]]
    scope = 'namespace="shop", pod=~"rel-hooks-(service|workers)-.*"'
    assert all(scope in expr or ('namespace="shop"' in expr and 'release="rel-hooks"' in expr) for expr in expressions)
    assert {rule["labels"]["release"] for rule in groups[0]["rules"]} == {"rel-hooks"}
    logs = alerts_of(yaml.safe_load(objects["ConfigMap/rel-hooks-loki-rules"]["data"]["waybill.yaml"])["groups"])
    assert all('namespace="shop", app="hooks"' in alert["expr"] for alert in logs.values())


def test_alerts_can_be_changed_by_name_and_switched_off() -> None:
    own = {
        "alertLabels": {"team": "orders"},
        "alerts": {
            "WaybillEventsOld": {"threshold": 600, "for": "1m", "severity": "critical", "labels": {"page": "yes"}},
            "WaybillSourceSilent": {"enabled": False},
        },
    }
    url = "https://git.example.com/docs/"
    objects = render("full", {"monitoring": {"runbookUrl": url, "prometheusRule": own}})
    alerts = alerts_of(objects["PrometheusRule/rel-waybill"]["spec"]["groups"])
    assert "WaybillSourceSilent" not in alerts
    changed = alerts["WaybillEventsOld"]
    assert changed["expr"].endswith("}) > 600")
    assert changed["for"] == "1m"
    assert changed["labels"] == {"severity": "critical", "team": "orders", "page": "yes"}
    assert changed["annotations"]["runbook_url"] == url + "docs/how-to/operations.md#waybilleventsold"
    assert alerts["WaybillStoreDown"]["labels"] == {"severity": "critical", "team": "orders"}


def test_dashboards_of_two_releases_have_different_uids_and_links() -> None:
    boards = [
        json.loads(
            render("full", {"fullnameOverride": name})[f"ConfigMap/{name}-dashboard-waybill-loki"]["data"][
                "waybill-loki.json"
            ]
        )
        for name in ("a", "b")
    ]
    assert boards[0]["uid"] != boards[1]["uid"]
    assert [board["title"] for board in boards] == ["Waybill shop/a logs (Loki)", "Waybill shop/b logs (Loki)"]
    for board in boards:
        assert len(board["uid"]) <= 40
        feed = next(panel for panel in board["panels"] if panel["type"] == "logs")
        assert f"/d/{board['uid']}?" in json.dumps(feed)


def test_pod_monitor_scrapes_the_admin_port() -> None:
    monitor = render("full")["PodMonitor/rel-waybill"]
    assert monitor["spec"]["podMetricsEndpoints"][0]["port"] == "admin"
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_helm_test_pod_posts_to_the_source() -> None:
    objects = render("full")
    (pod,) = objects["Pod/rel-waybill-test"]["spec"]["containers"]
    assert pod["args"][-2:] == ["--source=erp-orders", "--secret-env=ERP_WEBHOOK_SECRET"]
    data = objects["ConfigMap/rel-waybill-test"]["data"]
    assert data["deliver.py"] == (CHART / "files" / "deliver.py").read_text()
    assert "{id}" in data["body"]


def test_notes_show_the_webhook_urls(notes: Callable[..., str]) -> None:
    assert "https://hooks.example.com/webhooks/erp-orders" in notes("full")
    assert "http://rel-waybill.shop.svc/webhooks/pack-orders\n  (only inside the cluster" in notes("minimal")


def test_notes_warn_of_unsafe_values(notes: Callable[..., str]) -> None:
    trial = notes("trial")
    for expected in (
        "redis.embedded is one server",
        "secrets.trial is stored in the release",
        "the Ingress has no TLS",
    ):
        assert expected in trial
    assert "networkPolicy is disabled" in notes("no-ingress", networkPolicy={"enabled": False})
    assert "durability is declared" in notes("full")
    assert "dry runs of the admin API cannot fetch" in notes("full", networkPolicy={"serviceOutbound": "never"})


def test_notes_warn_of_unset_variables(notes: Callable[..., str]) -> None:
    missing = "environment variable PACK_SECRET is used in config but not set"
    nothing: dict[str, Any] = {"existingSecrets": []}
    assert missing in notes("minimal", secrets=nothing)
    assert missing not in notes("minimal")  # an existing Secret may contain it
    assert missing not in notes("trial")
    assert missing not in notes("minimal", secrets=nothing, extraEnv=[{"name": "PACK_SECRET", "value": "x"}])


def test_chart_fits_into_a_release_secret() -> None:
    generator = CHART / "dashboards" / "generator"  # named in .helmignore
    files = [path for path in CHART.rglob("*") if path.is_file() and not path.is_relative_to(generator)]
    size = sum(path.stat().st_size for path in files if path.suffix != ".md")
    assert size < 700_000
