"""Optional values: scheduling, hardening, scaling, Services and Secrets."""

from typing import Any

import pytest

from tests.helm.rendering import CASES, NEWEST, Objects, by_name, container, pods, read_all, render, template
from tests.helm.tools import HELMS

pytestmark = pytest.mark.slow


def deployment(objects: Objects, component: str) -> Any:
    return objects[f"Deployment/rel-waybill-{component}"]


def pod(objects: Objects, component: str) -> Any:
    return deployment(objects, component)["spec"]["template"]["spec"]


def test_source_without_a_platform_is_rendered() -> None:
    envelope = {"kind": "custom", "type": "/type"}
    source = {"verify": {"scheme": "bearer", "secrets": [{"env": "T"}]}, "envelope": envelope}
    render(
        "minimal",
        {"config": {"sources": {"alarms": source}}, "rules": {"files": {"f": [{"id": "r", "type": "event"}]}}},
    )


# pods


@pytest.mark.parametrize(
    ("values", "trusted"),
    [
        ({"ingress": {"enabled": False}, "httpRoute": {"enabled": False}}, None),
        ({"ingress": {"enabled": True}}, "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,fc00::/7"),
        (
            {
                "httpRoute": {"enabled": True, "parentRefs": [{"name": "gateway"}]},
                "service": {"trustedProxies": "192.0.2.7"},
            },
            "192.0.2.7",
        ),
        ({"ingress": {"enabled": True}, "settings": {"trusted_proxies": "192.0.2.8"}}, "192.0.2.8"),
    ],
)
def test_proxies_of_an_ingress_are_trusted(values: dict[str, Any], trusted: str | None) -> None:
    objects = render("trial", values)
    found = {
        component: {each["name"]: each.get("value") for each in pod(objects, component)["containers"][0]["env"]}
        for component in ("service", "workers")
    }
    assert found["service"].get("WAYBILL_TRUSTED_PROXIES") == trusted
    assert found["workers"].get("WAYBILL_TRUSTED_PROXIES") == values.get("settings", {}).get("trusted_proxies")


def test_jobs_are_scheduled_like_workers() -> None:
    """A Job without the tolerations would stay pending on tainted nodes."""
    every = dict(pods(render("full")))
    workers = every["Deployment/rel-waybill-workers"]
    assert workers["nodeSelector"] == {"example.com/pool": "jobs"}
    for name in ("Job/rel-waybill-rules", "Pod/rel-waybill-test"):
        for key in ("nodeSelector", "tolerations", "priorityClassName"):
            assert every[name][key] == workers[key], name


def test_embedded_store_has_scheduling_values() -> None:
    store = dict(pods(render("trial")))["StatefulSet/rel-waybill-valkey"]
    assert store["nodeSelector"] == {"example.com/disk": "fast"}
    assert store["priorityClassName"] == "stores"
    assert store["tolerations"] == [{"key": "dedicated", "operator": "Exists"}]


def test_affinity_runtime_class_and_init_containers_are_rendered() -> None:
    first = [{"name": "wait", "image": "busybox:1"}]
    objects = render("full", {"service": {"runtimeClassName": "gvisor", "extraInitContainers": first}})
    assert pod(objects, "service")["affinity"]["podAntiAffinity"]
    assert pod(objects, "service")["runtimeClassName"] == "gvisor"
    assert pod(objects, "service")["initContainers"] == first
    assert "initContainers" not in pod(objects, "workers")


def test_extra_containers_are_rendered() -> None:
    beside = [{"name": "proxy", "image": "proxy:1"}]
    names = [
        each["name"] for each in pod(render("full", {"workers": {"extraContainers": beside}}), "workers")["containers"]
    ]
    assert names == ["workers", "proxy"]


@pytest.mark.parametrize(
    ("case", "version"), [*((case, NEWEST) for case in CASES), *(("trial", each) for each in HELMS)]
)
def test_user_ids_can_be_omitted(case: str, version: str) -> None:
    """OpenShift rejects a pod with a user outside the range of its namespace."""
    values = {
        "podSecurityContext": dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup")),
        "containerSecurityContext": {"runAsUser": None},
    }
    objects = by_name(read_all(template(case, values, version=version)))
    for name, each in pods(objects):
        contexts = [each["securityContext"], *(inner["securityContext"] for inner in each["containers"])]
        assert all(security["runAsNonRoot"] is True for security in contexts), name
        assert not any({"runAsUser", "runAsGroup", "fsGroup"} & security.keys() for security in contexts), name


def test_dns_values_apply_to_every_pod() -> None:
    for name, each in pods(render("full")):
        assert each["dnsPolicy"] == "ClusterFirst", name
        assert each["dnsConfig"] == {"options": [{"name": "ndots", "value": "2"}]}, name
        assert each["hostAliases"] == [{"ip": "192.0.2.7", "hostnames": ["erp.internal"]}], name


def test_startup_timeout_is_configurable() -> None:
    def seconds(objects: Objects) -> int:
        probe = container(objects, "service")["startupProbe"]
        return probe["periodSeconds"] * probe["failureThreshold"]

    assert seconds(render("minimal")) == 60
    assert seconds(render("full")) == 90


def test_update_strategy_is_configurable() -> None:
    objects = render("minimal")
    assert deployment(objects, "service")["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert deployment(objects, "workers")["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 1, "maxSurge": 1}
    chosen = deployment(render("full"), "workers")["spec"]["strategy"]["rollingUpdate"]
    assert chosen == {"maxUnavailable": "25%", "maxSurge": "50%"}


@pytest.mark.parametrize("version", HELMS)
def test_recreate_strategy_is_supported(version: str) -> None:
    values = {"workers": {"strategy": {"type": "Recreate", "rollingUpdate": None}}}
    objects = by_name(read_all(template("minimal", values, version=version)))
    assert deployment(objects, "workers")["spec"]["strategy"] == {"type": "Recreate"}


def test_deployment_annotations_do_not_reach_pods() -> None:
    objects = render("full")
    assert deployment(objects, "service")["metadata"]["annotations"]["example.com/reload"] == "auto"
    assert "example.com/reload" not in deployment(objects, "service")["spec"]["template"]["metadata"]["annotations"]


def test_common_labels_and_annotations_are_on_every_object() -> None:
    extra_objects = {"ExternalSecret/waybill-platforms"}  # extraObjects have no labels of the chart
    for name, each in render("full").items():
        if name not in extra_objects:
            assert each["metadata"]["labels"]["team"] == "orders", name
            assert each["metadata"]["annotations"]["example.com/owner"] == "orders", name


# variables


@pytest.mark.parametrize("component", ["service", "workers", "rules", "test"])
def test_every_process_has_all_environment_variables(component: str) -> None:
    """Each process loads the whole waybill.yaml, and does not start without all of its variables."""
    every = dict(pods(render("full")))
    (name,) = (name for name in every if name.endswith(f"-{component}"))
    (first,) = every[name]["containers"]
    assert first["envFrom"] == [
        {"secretRef": {"name": "waybill-platforms"}},
        {"secretRef": {"name": "waybill-operators"}},
        {"configMapRef": {"name": "site"}},
    ]
    assert {"ERP_WEBHOOK_SECRET", "FLOW_PASSWORD"} <= {variable["name"] for variable in first["env"]}
    assert {"name": "ofn", "mountPath": "/run/secrets/ofn", "readOnly": True} in first["volumeMounts"]


def test_external_secrets_are_rendered() -> None:
    rendered = render("full")["ExternalSecret/waybill-operators"]
    assert rendered["spec"] == {
        "refreshInterval": "15m",
        "secretStoreRef": {"kind": "ClusterSecretStore", "name": "vault"},
        "target": {"name": "waybill-operators"},
        "data": [{"secretKey": "OPS_TOKEN_SHA256", "remoteRef": {"key": "waybill/operators", "property": "ops"}}],
    }


# scaling


def test_extra_hpa_metrics_are_rendered() -> None:
    metrics = render("full")["HorizontalPodAutoscaler/rel-waybill-service"]["spec"]["metrics"]
    assert [metric["resource"]["name"] for metric in metrics] == ["cpu", "memory"]


def test_keda_can_use_an_existing_authentication() -> None:
    objects = render("keda")
    scaled = objects["ScaledObject/rel-waybill-workers"]
    prometheus, cron = scaled["spec"]["triggers"]
    assert prometheus["authenticationRef"] == {"name": "prometheus-token", "kind": "ClusterTriggerAuthentication"}
    assert prometheus["metadata"]["authModes"] == "bearer"
    assert (cron["type"], cron["metadata"]["desiredReplicas"]) == ("cron", "4")
    assert scaled["metadata"]["annotations"] == {"example.com/owner": "orders"}
    assert not any(name.startswith("TriggerAuthentication/") for name in objects)


def test_keda_can_use_a_store_user() -> None:
    trigger, *_ = render("sentinel")["ScaledObject/rel-waybill-workers"]["spec"]["triggers"]
    assert trigger["metadata"]["username"] == "scaler"


def test_keda_trusts_the_ca_of_the_store() -> None:
    keda = {"address": "redis.example.com:6380", "tls": True, "passwordSecret": {"name": "waybill-redis"}}
    objects = render("full", {"workers": {"autoscaling": {"kind": "keda", "keda": keda}}})
    trigger, *_ = objects["ScaledObject/rel-waybill-workers"]["spec"]["triggers"]
    assert (trigger["type"], trigger["metadata"]["enableTLS"]) == ("redis", "true")
    refs = objects["TriggerAuthentication/rel-waybill-workers"]["spec"]["secretTargetRef"]
    assert {ref["parameter"]: ref["name"] for ref in refs} == {"password": "waybill-redis", "ca": "redis-ca"}


# Services and routes


def test_load_balancer_values_are_rendered() -> None:
    objects = render("full")
    outside, inside = (objects[f"Service/rel-waybill{end}"]["spec"] for end in ("", "-admin"))
    assert outside["externalTrafficPolicy"] == "Local"
    assert outside["loadBalancerClass"] == "example.com/internal"
    assert outside["loadBalancerSourceRanges"] == ["192.0.2.0/24"]
    assert outside["ipFamilyPolicy"] == inside["ipFamilyPolicy"] == "PreferDualStack"
    assert objects["Service/rel-waybill"]["metadata"]["annotations"]["example.com/load-balancer"] == "internal"


def test_node_port_is_configurable() -> None:
    (port,) = render("minimal", {"service": {"serviceType": "NodePort", "nodePort": 30_080}})["Service/rel-waybill"][
        "spec"
    ]["ports"]
    assert port["nodePort"] == 30_080
    assert "nodePort" not in render("minimal")["Service/rel-waybill"]["spec"]["ports"][0]


def test_grafana_dashboards_are_rendered() -> None:
    objects = render("full")
    name = "rel-waybill-dashboard-waybill-loki"
    spec = objects[f"GrafanaDashboard/{name}"]["spec"]
    assert spec["configMapRef"]["name"] == name
    assert spec["configMapRef"]["key"] in objects[f"ConfigMap/{name}"]["data"]
    assert spec["instanceSelector"] == {"matchLabels": {"dashboards": "grafana"}}
    assert not any(each.startswith("GrafanaDashboard/") for each in render("keda"))


# clusters


def test_pods_of_a_mesh_reach_its_control_plane_and_the_job_has_no_sidecar() -> None:
    objects = render("mesh")
    for component in ("service", "workers", "rules", "test"):
        egress = objects[f"NetworkPolicy/rel-waybill-{component}"]["spec"]["egress"]
        assert any({"port": 15012, "protocol": "TCP"} in each["ports"] for each in egress), component
    for component in ("service", "workers"):
        ingress = objects[f"NetworkPolicy/rel-waybill-{component}"]["spec"]["ingress"]
        assert {"port": 15008, "protocol": "TCP"} in ingress[-1]["ports"], component
    job = objects["Job/rel-waybill-rules"]["spec"]["template"]["metadata"]
    assert job["annotations"]["sidecar.istio.io/inject"] == "false"
    assert job["labels"]["sidecar.istio.io/inject"] == "false"
    test = objects["Pod/rel-waybill-test"]["metadata"]
    assert test["annotations"]["linkerd.io/inject"] == "disabled"
    assert test["annotations"]["helm.sh/hook"] == "test"


def test_native_sidecars_are_init_containers() -> None:
    sidecar = {"name": "proxy", "image": "registry.example.com/proxy:1", "restartPolicy": "Always"}
    objects = render(
        "mesh", {"service": {"extraInitContainers": [sidecar]}, "rules": {"extraInitContainers": [sidecar]}}
    )
    assert pod(objects, "service")["initContainers"] == [sidecar]
    assert objects["Job/rel-waybill-rules"]["spec"]["template"]["spec"]["initContainers"] == [sidecar]
    assert "initContainers" not in pod(objects, "workers")


def test_pods_on_openshift_have_no_user_and_reach_dns() -> None:
    nobody = {"runAsUser": None, "runAsGroup": None, "fsGroup": None}
    objects = render(
        "minimal",
        {
            "podSecurityContext": nobody,
            "containerSecurityContext": {"runAsUser": None},
            "networkPolicy": {"dnsPorts": [5353]},
        },
    )
    for name, spec in pods(objects):
        assert "runAsUser" not in spec["securityContext"], name
        assert all("runAsUser" not in each["securityContext"] for each in spec["containers"]), name
    dns = objects["NetworkPolicy/rel-waybill-rules"]["spec"]["egress"][0]["ports"]
    assert dns == [{"port": 5353, "protocol": "UDP"}, {"port": 5353, "protocol": "TCP"}]


def test_values_of_an_umbrella_chart_apply_to_every_image() -> None:
    objects = render("gateway", {"imagePullSecrets": [{"name": "own"}]})
    for name, spec in pods(objects):
        assert spec["imagePullSecrets"] == [{"name": "own"}, {"name": "pull"}], name
        assert all(each["image"].startswith("registry.example.com/waybill:") for each in spec["containers"]), name


def test_probes_lifecycle_and_families_are_configurable() -> None:
    objects = render("gateway")
    service = pod(objects, "service")["containers"][0]
    assert service["livenessProbe"]["failureThreshold"] == 3
    assert service["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "admin"}
    assert service["readinessProbe"]["periodSeconds"] == 3
    assert service["lifecycle"] == {"preStop": {"exec": {"command": ["sleep", "5"]}}}
    assert deployment(objects, "service")["spec"]["minReadySeconds"] == 5
    assert objects["Service/rel-waybill-admin"]["spec"]["ipFamilies"] == ["IPv6", "IPv4"]
    assert objects["HTTPRoute/rel-waybill"]["spec"]["rules"][0]["filters"][0]["type"] == "RequestHeaderModifier"
    endpoint = objects["PodMonitor/rel-waybill"]["spec"]["podMetricsEndpoints"][0]
    assert (endpoint["scrapeTimeout"], endpoint["relabelings"][-1]["replacement"]) == ("10s", "eu")
    assert endpoint["metricRelabelings"]
    assert {pod(render("gateway", {"hostUsers": False}), "workers")["hostUsers"]} == {False}


def test_extra_objects_are_templates() -> None:
    labels = render("gateway")["ConfigMap/rel-waybill-own"]["metadata"]["labels"]
    assert labels == {"release": "rel"}


def test_hook_objects_do_not_outlive_the_release() -> None:
    objects = render("minimal")
    assert objects["Job/rel-waybill-rules"]["spec"]["ttlSecondsAfterFinished"] == 86_400
    assert "annotations" not in objects["ConfigMap/rel-waybill-test"]["metadata"]
    trial = render("trial", {"redis": {"embedded": {"retentionPolicy": {"whenDeleted": "Delete"}}}})
    policy = trial["StatefulSet/rel-waybill-valkey"]["spec"]["persistentVolumeClaimRetentionPolicy"]
    assert policy == {"whenDeleted": "Delete"}


def test_long_names_stay_different_and_labels_valid() -> None:
    long = "a" * 52
    names = {next(iter(sorted(render("trial", {"fullnameOverride": long + end})))) for end in ("b", "c")}
    assert len(names) == 2
    objects = render("trial", {"fullnameOverride": long, "image": {"tag": "v" * 70}})
    (stateful,) = [name for name in objects if name.startswith("StatefulSet/")]
    assert len(stateful.removeprefix("StatefulSet/") + "-0123456789") <= 63
    assert all(len(value) <= 63 for value in deployment_labels(objects).values())


def deployment_labels(objects: Objects) -> dict[str, str]:
    (name,) = [name for name in objects if name.startswith("Deployment/") and name.endswith("-service")]
    return objects[name]["metadata"]["labels"]


def test_keda_keeps_the_current_number_while_its_trigger_fails() -> None:
    fallback = {"failureThreshold": 4, "behavior": "currentReplicasIfHigher", "replicas": 2}
    changed = render("keda", {"workers": {"autoscaling": {"keda": {"fallback": fallback}}}})
    assert changed["ScaledObject/rel-waybill-workers"]["spec"]["fallback"] == fallback
    default = render("keda")["ScaledObject/rel-waybill-workers"]["spec"]["fallback"]
    assert default["failureThreshold"] == 4


# traces


def test_traces_are_off_by_default() -> None:
    text = template("trial")
    assert "WAYBILL_TRACES" not in text
    assert "OTEL_" not in text


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [
        ("http://collector.monitoring:4318", 4318),
        ("https://otlp.example.com", 443),
        ("http://collector/otlp", 80),
        ("http://[fd00::1]:4318", 4318),
        ("https://[fd00::1]", 443),
    ],
)
def test_collector_of_traces_is_configured_and_may_be_reached(endpoint: str, port: int) -> None:
    objects = render("trial", {"monitoring": {"traces": {"endpoint": endpoint}}})
    for component in ("service", "workers"):
        environ = {each["name"]: each.get("value") for each in pod(objects, component)["containers"][0]["env"]}
        assert (environ["WAYBILL_TRACES"], environ["OTEL_EXPORTER_OTLP_ENDPOINT"]) == ("true", endpoint)
        assert (environ["OTEL_TRACES_SAMPLER"], environ["OTEL_TRACES_SAMPLER_ARG"]) == ("parentbased_traceidratio", "1")
        rules = objects[f"NetworkPolicy/rel-waybill-{component}"]["spec"]["egress"]
        assert {"ports": [{"port": port, "protocol": "TCP"}]} in rules
    job = dict(pods(objects))["Job/rel-waybill-rules"]["containers"][0]["env"]
    assert "WAYBILL_TRACES" not in {each["name"] for each in job}
