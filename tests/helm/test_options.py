"""What an operator may set beside what everyone needs: placement, hardening, scaling, Services, Secrets."""

from typing import Any

import pytest
import yaml

from tests.helm.rendering import CASES, NEWEST, Objects, by_name, container, pods, render, template
from tests.helm.tools import HELMS


def deployment(objects: Objects, component: str) -> Any:
    return objects[f"Deployment/rel-waybill-{component}"]


def pod(objects: Objects, component: str) -> Any:
    return deployment(objects, component)["spec"]["template"]["spec"]


# pods


def test_jobs_go_where_workers_go() -> None:
    """On nodes that only take what tolerates them, a Job that does not would wait for ever."""
    every = dict(pods(render("full")))
    workers = every["Deployment/rel-waybill-workers"]
    assert workers["nodeSelector"] == {"example.com/pool": "jobs"}
    for name in ("Job/rel-waybill-rules", "Pod/rel-waybill-test"):
        for key in ("nodeSelector", "tolerations", "priorityClassName"):
            assert every[name][key] == workers[key], name


def test_the_trial_store_goes_where_it_is_told() -> None:
    store = dict(pods(render("trial")))["StatefulSet/rel-waybill-valkey"]
    assert store["nodeSelector"] == {"example.com/disk": "fast"}
    assert store["priorityClassName"] == "stores"
    assert store["tolerations"] == [{"key": "dedicated", "operator": "Exists"}]


def test_affinity_runtime_class_and_init_containers_are_taken_as_they_are() -> None:
    first = [{"name": "wait", "image": "busybox:1"}]
    objects = render("full", {"service": {"runtimeClassName": "gvisor", "extraInitContainers": first}})
    assert pod(objects, "service")["affinity"]["podAntiAffinity"]
    assert pod(objects, "service")["runtimeClassName"] == "gvisor"
    assert pod(objects, "service")["initContainers"] == first
    assert "initContainers" not in pod(objects, "workers")


def test_containers_beside_it_share_the_pod() -> None:
    beside = [{"name": "proxy", "image": "proxy:1"}]
    names = [
        each["name"] for each in pod(render("full", {"workers": {"extraContainers": beside}}), "workers")["containers"]
    ]
    assert names == ["workers", "proxy"]


@pytest.mark.parametrize(
    ("case", "version"), [*((case, NEWEST) for case in CASES), *(("trial", each) for each in HELMS)]
)
def test_a_cluster_may_give_the_users_out(case: str, version: str) -> None:
    """OpenShift refuses a pod that names a user outside of its namespace's range."""
    values = {
        "podSecurityContext": dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup")),
        "containerSecurityContext": {"runAsUser": None},
    }
    objects = by_name(yaml.safe_load_all(template(case, values, version=version)))
    for name, each in pods(objects):
        told = [each["securityContext"], *(inner["securityContext"] for inner in each["containers"])]
        assert all(security["runAsNonRoot"] is True for security in told), name
        assert not any({"runAsUser", "runAsGroup", "fsGroup"} & security.keys() for security in told), name


def test_every_pod_resolves_names_as_told() -> None:
    for name, each in pods(render("full")):
        assert each["dnsPolicy"] == "ClusterFirst", name
        assert each["dnsConfig"] == {"options": [{"name": "ndots", "value": "2"}]}, name
        assert each["hostAliases"] == [{"ip": "192.0.2.7", "hostnames": ["erp.internal"]}], name


def test_slow_nodes_are_given_time_to_start() -> None:
    def seconds(objects: Objects) -> int:
        probe = container(objects, "service")["startupProbe"]
        return probe["periodSeconds"] * probe["failureThreshold"]

    assert seconds(render("minimal")) == 60
    assert seconds(render("full")) == 90


def test_how_pods_are_replaced_can_be_chosen() -> None:
    whole = render("minimal")
    assert deployment(whole, "service")["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert deployment(whole, "workers")["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 1, "maxSurge": 1}
    chosen = deployment(render("full"), "workers")["spec"]["strategy"]["rollingUpdate"]
    assert chosen == {"maxUnavailable": "25%", "maxSurge": "50%"}


@pytest.mark.parametrize("version", HELMS)
def test_pods_can_be_replaced_all_at_once(version: str) -> None:
    values = {"workers": {"strategy": {"type": "Recreate", "rollingUpdate": None}}}
    objects = by_name(yaml.safe_load_all(template("minimal", values, version=version)))
    assert deployment(objects, "workers")["spec"]["strategy"] == {"type": "Recreate"}


def test_a_deployment_can_be_annotated_without_restarting_its_pods() -> None:
    objects = render("full")
    assert deployment(objects, "service")["metadata"]["annotations"]["example.com/reload"] == "auto"
    assert "example.com/reload" not in deployment(objects, "service")["spec"]["template"]["metadata"]["annotations"]


def test_labels_and_annotations_of_all_reach_every_object() -> None:
    brought = {"ExternalSecret/waybill-platforms"}  # extraObjects are taken as they are
    for name, each in render("full").items():
        if name not in brought:
            assert each["metadata"]["labels"]["team"] == "orders", name
            assert each["metadata"]["annotations"]["example.com/owner"] == "orders", name


# variables


@pytest.mark.parametrize("component", ["service", "workers", "rules", "test"])
def test_every_process_gets_every_secret_that_the_configuration_refers_to(component: str) -> None:
    """Each reads waybill.yaml whole, so a variable that only one of them had would stop the others."""
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


def test_external_secrets_are_made_and_read() -> None:
    made = render("full")["ExternalSecret/waybill-operators"]
    assert made["spec"] == {
        "refreshInterval": "15m",
        "secretStoreRef": {"kind": "ClusterSecretStore", "name": "vault"},
        "target": {"name": "waybill-operators"},
        "data": [{"secretKey": "OPS_TOKEN_SHA256", "remoteRef": {"key": "waybill/operators", "property": "ops"}}],
    }


# scaling


def test_an_hpa_takes_more_metrics() -> None:
    metrics = render("full")["HorizontalPodAutoscaler/rel-waybill-service"]["spec"]["metrics"]
    assert [metric["resource"]["name"] for metric in metrics] == ["cpu", "memory"]


def test_keda_takes_an_authentication_that_is_there_already() -> None:
    objects = render("keda")
    scaled = objects["ScaledObject/rel-waybill-workers"]
    asked, at_work = scaled["spec"]["triggers"]
    assert asked["authenticationRef"] == {"name": "prometheus-token", "kind": "ClusterTriggerAuthentication"}
    assert asked["metadata"]["authModes"] == "bearer"
    assert (at_work["type"], at_work["metadata"]["desiredReplicas"]) == ("cron", "4")
    assert scaled["metadata"]["annotations"] == {"example.com/owner": "orders"}
    assert not any(name.startswith("TriggerAuthentication/") for name in objects)


def test_keda_may_be_a_user_of_its_own_at_the_store() -> None:
    (trigger,) = render("sentinel")["ScaledObject/rel-waybill-workers"]["spec"]["triggers"]
    assert trigger["metadata"]["username"] == "scaler"


def test_keda_trusts_the_store_s_authority() -> None:
    keda = {"address": "redis.example.com:6380", "tls": True, "passwordSecret": {"name": "waybill-redis"}}
    objects = render("full", {"workers": {"autoscaling": {"kind": "keda", "keda": keda}}})
    (trigger,) = objects["ScaledObject/rel-waybill-workers"]["spec"]["triggers"]
    assert (trigger["type"], trigger["metadata"]["enableTLS"]) == ("redis", "true")
    refs = objects["TriggerAuthentication/rel-waybill-workers"]["spec"]["secretTargetRef"]
    assert {ref["parameter"]: ref["name"] for ref in refs} == {"password": "waybill-redis", "ca": "redis-ca"}


# Services and routes


def test_a_load_balancer_is_told_what_it_needs() -> None:
    objects = render("full")
    outside, inside = (objects[f"Service/rel-waybill{end}"]["spec"] for end in ("", "-admin"))
    assert outside["externalTrafficPolicy"] == "Local"
    assert outside["loadBalancerClass"] == "example.com/internal"
    assert outside["loadBalancerSourceRanges"] == ["192.0.2.0/24"]
    assert outside["ipFamilyPolicy"] == inside["ipFamilyPolicy"] == "PreferDualStack"
    assert objects["Service/rel-waybill"]["metadata"]["annotations"]["example.com/load-balancer"] == "internal"


def test_a_node_s_port_can_be_chosen() -> None:
    (port,) = render("minimal", {"service": {"serviceType": "NodePort", "nodePort": 30_080}})["Service/rel-waybill"][
        "spec"
    ]["ports"]
    assert port["nodePort"] == 30_080
    assert "nodePort" not in render("minimal")["Service/rel-waybill"]["spec"]["ports"][0]


def test_a_dashboard_is_offered_to_grafana_s_operator() -> None:
    objects = render("full")
    name = "rel-waybill-dashboard-waybill-loki"
    spec = objects[f"GrafanaDashboard/{name}"]["spec"]
    assert spec["configMapRef"]["name"] == name
    assert spec["configMapRef"]["key"] in objects[f"ConfigMap/{name}"]["data"]
    assert spec["instanceSelector"] == {"matchLabels": {"dashboards": "grafana"}}
    assert not any(each.startswith("GrafanaDashboard/") for each in render("keda"))
