"""Invalid values are rejected by the schema or by checks in the templates."""

import re
from collections import defaultdict
from typing import Any

import pytest

from tests.helm.rendering import NEWEST, CommandFailed, Values, helm, render, template
from tests.helm.schema import CHART, DERIVED
from tests.helm.tools import HELMS

pytestmark = pytest.mark.slow


def rule(**fields: Any) -> Values:
    complete = {"id": "r", "type": "purchase_order", "actions": [{"id": "a", "do": "log", "message": "m"}], **fields}
    return {"rules": {"files": {"f": [complete]}}}


def source(**fields: Any) -> Values:
    return {"config": {"sources": {"pack-orders": fields}}}


def external(data: Values) -> Values:
    return {"secrets": {"external": {"s": {"store": {"kind": "SecretStore", "name": "v"}, "data": data}}}}


OPERATOR = {"name": "o", "role": "operator", "sha256": {"env": "OPS"}}

SCHEMA_CASES: dict[str, tuple[Values, str]] = {
    "an unknown value": ({"replicas": 3}, "replicas"),
    "an unknown operator": (rule(when={"field": "status", "op": "greatr", "value": 1}), "op"),
    "two keys in one condition node": (rule(when={"all": [], "any": []}), "when"),
    "a condition without an operator": (rule(when={"field": "status"}), "when"),
    "an unknown action": (rule(actions=[{"id": "a", "do": "mail"}]), "do"),
    "an action without a required field": (rule(actions=[{"id": "a", "do": "log"}]), "message"),
    "a destination's credential in clear": (
        {
            "config": {
                "destinations": {"erp": {"url": "https://erp.example.com", "auth": {"type": "bearer", "token": "t"}}}
            }
        },
        "token",
    ),
    "an unknown key of a destination": (
        {"config": {"destinations": {"erp": {"url": "https://erp.example.com", "limit": 3}}}},
        "limit",
    ),
    "a field of a record kind with an unknown type": (
        {"config": {"records": {"order": {"fields": {"n": "number"}}}}},
        "n",
    ),
    "a misspelt key of an action": (rule(actions=[{"id": "a", "do": "log", "mesage": "m"}]), "mesage"),
    "a rule with an invalid type": (rule(type="Order!"), "type"),
    "an id with a space": (rule(id="a rule"), "id"),
    "a secret in clear": (source(verify={"secrets": ["whsec_x"]}), "secrets"),
    "an empty secret reference": (source(verify={"secrets": [{}]}), "secrets"),
    "an unknown scheme": (source(verify={"scheme": "md5"}), "scheme"),
    "an unknown platform": ({"config": {"platforms": {"pack": {"kind": "shopify"}}}}, "kind"),
    "a platform without a required field": ({"config": {"platforms": {"erp": {"kind": "custom"}}}}, "base_url"),
    "an invalid source name": ({"config": {"sources": {"Pack Orders": {"platform": "pack"}}}}, "Pack Orders"),
    "an unknown setting": ({"settings": {"log_levl": "info"}}, "log_levl"),
    "a setting out of bounds": ({"settings": {"store_memory_percent_max": 101}}, "store_memory_percent_max"),
    "a WAYBILL_ variable as a secret": ({"secrets": {"trial": {"WAYBILL_PORT": "1"}}}, "WAYBILL_PORT"),
    "an invalid digest": ({"image": {"digest": "sha256:12"}}, "digest"),
    "a minimum of 0 workers": ({"workers": {"autoscaling": {"kind": "keda", "min": 0}}}, "min"),
    "a sentinel without its port": ({"redis": {"sentinel": {"hosts": ["sentinel"]}}}, "hosts"),
    "an unsupported protocol of the store": ({"redis": {"url": "http://redis"}}, "url"),
    "an external secret without a store": ({"secrets": {"external": {"s": {"data": {"A": {"key": "k"}}}}}}, "store"),
    "an external secret with a WAYBILL_ variable": (external({"WAYBILL_PORT": {"key": "k"}}), "WAYBILL_PORT"),
    "an external secret without a key": (external({"A": {"property": "p"}}), "key"),
    "an unknown egress mode": ({"networkPolicy": {"serviceOutbound": "sometimes"}}, "serviceOutbound"),
    "an unknown traffic policy": ({"service": {"externalTrafficPolicy": "Near"}}, "externalTrafficPolicy"),
    "an operator without a digest": ({"config": {"admin": {"tokens": [{"name": "o", "role": "viewer"}]}}}, "sha256"),
    "an unknown role": ({"config": {"admin": {"tokens": [{**OPERATOR, "role": "root"}]}}}, "role"),
    "an operator's token in clear": ({"config": {"admin": {"tokens": [{**OPERATOR, "sha256": "ab"}]}}}, "sha256"),
    "an unknown alert": ({"monitoring": {"prometheusRule": {"alerts": {"WaybillOld": {}}}}}, "WaybillOld"),
    "a threshold as text": (
        {"monitoring": {"lokiRules": {"alerts": {"WaybillEventsOldLogged": {"threshold": "1 h"}}}}},
        "threshold",
    ),
    "a runbook's URL without a slash at its end": (
        {"monitoring": {"runbookUrl": "https://git.example.com"}},
        "runbookUrl",
    ),
    "an invalid tag": ({"image": {"tag": "v1 beta"}}, "tag"),
    "an invalid name": ({"nameOverride": "UPPER_case"}, "nameOverride"),
    "an invalid full name": ({"fullnameOverride": "-way"}, "fullnameOverride"),
    "an invalid host": ({"ingress": {"enabled": True, "hosts": ["https://hooks.example.com"]}}, "hosts"),
    "an invalid host of a route": ({"httpRoute": {"hostnames": ["hooks example"]}}, "hostnames"),
    "an invalid volume size": ({"redis": {"embedded": {"storage": "lots"}}}, "storage"),
    "no attempt timeout": ({"workers": {"attemptTimeoutSeconds": 0}}, "attemptTimeoutSeconds"),
}


@pytest.mark.parametrize(("values", "key"), SCHEMA_CASES.values(), ids=SCHEMA_CASES)
def test_schema_rejects(values: Values, key: str) -> None:
    with pytest.raises(CommandFailed, match="(?s)schema.*" + key):
        template("minimal", values)


def cases_together() -> list[list[tuple[str, Values, str]]]:
    """Divide the cases into groups with one case per section at most. A run of Helm lists the mistakes of a group."""
    seen: defaultdict[str, int] = defaultdict(int)
    groups: defaultdict[int, list[tuple[str, Values, str]]] = defaultdict(list)
    for values, key in SCHEMA_CASES.values():
        (section,) = values
        groups[seen[section]].append((section, values, key))
        seen[section] += 1
    return list(groups.values())


@pytest.mark.parametrize("version", [version for version in HELMS if version != NEWEST])
@pytest.mark.parametrize("cases", cases_together(), ids=range(len(cases_together())))
def test_other_helm_versions_reject_each_case_in_its_section(
    cases: list[tuple[str, Values, str]], version: str
) -> None:
    values = {section: content for _, case, _ in cases for section, content in case.items()}
    with pytest.raises(CommandFailed, match="schema") as failed:
        template("minimal", values, version=version)
    for section, _, key in cases:
        # The validator names no section for a name that it does not allow, but quotes the name.
        mistake = rf"(?m)^ *- (?=.*\b{section}\b).*\b{key}\b|^ *- at '': .*'{key}'"
        assert re.search(mistake, str(failed.value)), (section, key)


def test_derived_settings_are_rejected() -> None:
    with pytest.raises(CommandFailed) as failed:
        render("minimal", {"settings": dict.fromkeys(DERIVED, "1")})
    (mistake,) = re.findall("at '/settings': additional properties (.*) not allowed", str(failed.value))
    assert set(mistake.split(", ")) == {f"'{setting}'" for setting in DERIVED}


def test_invalid_rule_fails_lint() -> None:
    bad = 'rules={"files": {"f": [{"id": "r", "type": "purchase_order", "when": {"field": "status", "op": "greatr"}}]}}'
    with pytest.raises(CommandFailed, match="must be one of"):
        helm("lint", CHART, "--values", CHART / "ci" / "minimal-values.yaml", "--set-json", bad)


KEY = {"name": "s", "key": "url"}
QUEUE = {"trigger": "queue", "address": "r:6379"}

TEMPLATE_CASES: dict[str, tuple[str, Values, str]] = {
    "no store": ("minimal", {"redis": {"existingSecret": {"name": ""}}}, "No store is configured"),
    "two stores": ("minimal", {"redis": {"url": "redis://r"}}, "More than one store is configured"),
    "sentinels of the trial store": ("trial", {"redis": {"sentinel": {"hosts": ["s:1"]}}}, "has no sentinels"),
    "a rule with an unknown type": ("minimal", rule(type="order"), "type order of rule r is no record kind"),
    "a rule with an unknown destination": (
        "minimal",
        rule(actions=[{"id": "a", "do": "http", "destination": "erp", "path": "/x"}]),
        "destination erp of rule r is not in config.destinations",
    ),
    "a number that Helm rounds": (
        "minimal",
        rule(when={"field": "id", "op": "eq", "value": 9007199254740993}),
        "value: Helm cannot represent a number of this size exactly",
    ),
    "a platform's id without quotes": (
        "minimal",
        {"config": {"platforms": {"pack": {"organization_id": 12345678901234567890}}}},
        "config.platforms.pack.organization_id",
    ),
    "no sources": ("minimal", {"config": {"sources": None}}, "config.sources is empty"),
    "a source on no platform": ("minimal", source(platform="pak"), "platform pak is not in config.platforms"),
    "a rule for no source": ("minimal", rule(sources=["shop"]), "source shop of rule r is not in"),
    "KEDA without an address": ("minimal", {"workers": {"autoscaling": {"kind": "keda"}}}, "keda.address"),
    "KEDA without a Prometheus": ("keda", {"workers": {"autoscaling": {"keda": {"prometheus": ""}}}}, "prometheus"),
    "min above max": ("keda", {"workers": {"autoscaling": {"min": 9, "max": 3}}}, "min is greater than max"),
    "an Ingress for every host": ("minimal", {"ingress": {"enabled": True}}, "ingress.hosts is empty"),
    "a route without a gateway": ("minimal", {"httpRoute": {"enabled": True}}, "parentRefs is empty"),
    "a test without a secret": ("minimal", {"test": {"source": "pack-orders"}}, "secretEnv is empty"),
}


@pytest.mark.parametrize(("case", "values", "message"), TEMPLATE_CASES.values(), ids=TEMPLATE_CASES)
def test_templates_reject(case: str, values: Values, message: str) -> None:
    with pytest.raises(CommandFailed, match=message):
        render(case, values)


def test_old_kubernetes_is_rejected() -> None:
    with pytest.raises(CommandFailed, match="incompatible with Kubernetes"):
        render("minimal", None, "--kube-version", "1.24")


def test_newest_helm_is_fetched() -> None:
    assert NEWEST in HELMS
