"""What the chart refuses before anything is sent to a cluster: by its schema, and in words where no schema can see."""

from typing import Any

import pytest

from tests.helm.rendering import NEWEST, Refused, Values, helm, render, template
from tests.helm.schema import CHART, DERIVED
from tests.helm.tools import HELMS


def rule(**fields: Any) -> Values:
    whole = {"id": "r", "type": "purchase_order", "actions": [{"id": "a", "do": "log", "message": "m"}], **fields}
    return {"rules": {"files": {"f": [whole]}}}


def source(**fields: Any) -> Values:
    return {"config": {"sources": {"pack-orders": fields}}}


def external(data: Values) -> Values:
    return {"secrets": {"external": {"s": {"store": {"kind": "SecretStore", "name": "v"}, "data": data}}}}


OPERATOR = {"name": "o", "role": "operator", "sha256": {"env": "OPS"}}

BY_SCHEMA: dict[str, tuple[Values, str]] = {
    "a word nobody knows": ({"replicas": 3}, "replicas"),
    "an operator nobody knows": (rule(when={"field": "status", "op": "greatr", "value": 1}), "op"),
    "two words in one condition": (rule(when={"all": [], "any": []}), "when"),
    "a condition without an operator": (rule(when={"field": "status"}), "when"),
    "an action nobody knows": (rule(actions=[{"id": "a", "do": "mail"}]), "do"),
    "an action without what it needs": (rule(actions=[{"id": "a", "do": "http"}]), "url"),
    "a misspelt key of an action": (rule(actions=[{"id": "a", "do": "log", "mesage": "m"}]), "mesage"),
    "a rule of no type": (rule(type="order"), "type"),
    "an id with a space": (rule(id="a rule"), "id"),
    "a secret in clear": (source(verify={"secrets": ["whsec_x"]}), "secrets"),
    "a secret that is nowhere": (source(verify={"secrets": [{}]}), "secrets"),
    "a scheme nobody knows": (source(verify={"scheme": "md5"}), "scheme"),
    "a platform nobody knows": ({"config": {"platforms": {"pack": {"kind": "shopify"}}}}, "kind"),
    "a platform without its parts": ({"config": {"platforms": {"erp": {"kind": "custom"}}}}, "base_url"),
    "a source's name that is no URL": ({"config": {"sources": {"Pack Orders": {"platform": "pack"}}}}, "Pack Orders"),
    "a setting nobody knows": ({"settings": {"log_levl": "info"}}, "log_levl"),
    "a setting out of bounds": ({"settings": {"store_memory_percent_max": 101}}, "store_memory_percent_max"),
    "a variable of ours as a secret": ({"secrets": {"trial": {"WAYBILL_PORT": "1"}}}, "WAYBILL_PORT"),
    "a digest that is none": ({"image": {"digest": "sha256:12"}}, "digest"),
    "no worker at all": ({"workers": {"autoscaling": {"kind": "keda", "min": 0}}}, "min"),
    "a sentinel without its port": ({"redis": {"sentinel": {"hosts": ["sentinel"]}}}, "hosts"),
    "a store by another protocol": ({"redis": {"url": "http://redis"}}, "url"),
    "an external secret from nowhere": ({"secrets": {"external": {"s": {"data": {"A": {"key": "k"}}}}}}, "store"),
    "an external secret of ours": (external({"WAYBILL_PORT": {"key": "k"}}), "WAYBILL_PORT"),
    "an external secret without a key": (external({"A": {"property": "p"}}), "key"),
    "a way out that is half open": ({"networkPolicy": {"serviceOutbound": "sometimes"}}, "serviceOutbound"),
    "a traffic policy nobody knows": ({"service": {"externalTrafficPolicy": "Near"}}, "externalTrafficPolicy"),
    "an operator without a digest": ({"config": {"admin": {"tokens": [{"name": "o", "role": "viewer"}]}}}, "sha256"),
    "a role nobody knows": ({"config": {"admin": {"tokens": [{**OPERATOR, "role": "root"}]}}}, "role"),
    "an operator's token in clear": ({"config": {"admin": {"tokens": [{**OPERATOR, "sha256": "ab"}]}}}, "sha256"),
    "a tag that is none": ({"image": {"tag": "v1 beta"}}, "tag"),
    "a name no object can have": ({"nameOverride": "UPPER_case"}, "nameOverride"),
    "a whole name no object can have": ({"fullnameOverride": "-way"}, "fullnameOverride"),
    "a host that is none": ({"ingress": {"enabled": True, "hosts": ["https://hooks.example.com"]}}, "hosts"),
    "a route's host that is none": ({"httpRoute": {"hostnames": ["hooks example"]}}, "hostnames"),
    "a volume of no size": ({"redis": {"embedded": {"storage": "lots"}}}, "storage"),
    "attempts without an end": ({"workers": {"attemptTimeoutSeconds": 0}}, "attemptTimeoutSeconds"),
}


@pytest.mark.parametrize("version", HELMS)
@pytest.mark.parametrize(("values", "named"), BY_SCHEMA.values(), ids=BY_SCHEMA)
def test_the_schema_refuses(values: Values, named: str, version: str) -> None:
    with pytest.raises(Refused, match="(?s)schema.*" + named):
        template("minimal", values, version=version)


@pytest.mark.parametrize("setting", sorted(DERIVED))
def test_a_setting_that_the_chart_derives_is_not_taken(setting: str) -> None:
    with pytest.raises(Refused, match=setting):
        render("minimal", {"settings": {setting: "1"}})


def test_a_bad_rule_fails_lint() -> None:
    bad = 'rules={"files": {"f": [{"id": "r", "type": "purchase_order", "when": {"field": "status", "op": "greatr"}}]}}'
    with pytest.raises(Refused, match="must be one of"):
        helm("lint", CHART, "--values", CHART / "ci" / "minimal-values.yaml", "--set-json", bad)


KEY = {"name": "s", "key": "url"}
QUEUE = {"trigger": "queue", "address": "r:6379"}

IN_WORDS: dict[str, tuple[str, Values, str]] = {
    "no store": ("minimal", {"redis": {"existingSecret": {"name": ""}}}, "No store is named"),
    "two stores": ("minimal", {"redis": {"url": "redis://r"}}, "More than one store is named"),
    "sentinels of the trial store": ("trial", {"redis": {"sentinel": {"hosts": ["s:1"]}}}, "has no sentinels"),
    "one shard": ("shards", {"redis": {"shards": [{"name": "a", "secret": KEY}]}}, "names one store"),
    "shards behind sentinels": ("shards", {"redis": {"sentinel": {"hosts": ["s:1"]}}}, "cannot use it"),
    "shards counted by one queue": ("shards", {"workers": {"autoscaling": {"keda": QUEUE}}}, "counts one store"),
    "no sources": ("minimal", {"config": {"sources": None}}, "each have to name at least one"),
    "a source on no platform": ("minimal", source(platform="pak"), "there is no platform pak"),
    "a rule for no source": ("minimal", rule(sources=["shop"]), "rule r names the source shop"),
    "KEDA without an address": ("minimal", {"workers": {"autoscaling": {"kind": "keda"}}}, "keda.address"),
    "KEDA without a Prometheus": ("keda", {"workers": {"autoscaling": {"keda": {"prometheus": ""}}}}, "prometheus"),
    "bounds crossed": ("keda", {"workers": {"autoscaling": {"min": 9, "max": 3}}}, "min is more than max"),
    "an Ingress for every host": ("minimal", {"ingress": {"enabled": True}}, "ingress.hosts is empty"),
    "a route without a gateway": ("minimal", {"httpRoute": {"enabled": True}}, "parentRefs is empty"),
    "a test without a secret": ("minimal", {"test": {"source": "pack-orders"}}, "secretEnv is empty"),
}


@pytest.mark.parametrize(("case", "values", "told"), IN_WORDS.values(), ids=IN_WORDS)
def test_the_templates_refuse_in_words(case: str, values: Values, told: str) -> None:
    with pytest.raises(Refused, match=told):
        render(case, values)


def test_a_cluster_that_is_too_old_is_refused() -> None:
    with pytest.raises(Refused, match="incompatible with Kubernetes"):
        render("minimal", None, "--kube-version", "1.24")


def test_the_newest_helm_is_among_those_fetched() -> None:
    assert NEWEST in HELMS
