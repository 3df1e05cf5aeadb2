"""Build helm/values.schema.json, so that `helm lint` rejects an invalid rule. Draft-07, as Helm 3.17 requires.

The schema of the chart's own values comes from values.yaml. The schema of platforms, sources, rules and settings comes
from the structs of the code.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
import yaml

from helm.dashboards.generator.alerts import Alert
from helm.dashboards.generator.log_alerts import LOGS
from helm.dashboards.generator.metric_alerts import METRICS
from service.actions import load_actions
from service.config import SourceConfig
from service.config.loading import _General
from service.config.record_kinds import RecordKindConfig
from service.config.sources import SOURCE_NAME
from service.destinations.registry import CONFIG_TYPE as DESTINATION_TYPE
from service.envelopes import EnvelopeConfig
from service.platforms.registry import CONFIG_TYPE
from service.rules.compiler.conditions import NODE_KEYS
from service.rules.compiler.operators import OPERATORS
from service.rules.syntax import Rule
from service.settings import Settings

CHART = Path(__file__).parents[2] / "helm"

DERIVED = frozenset(
    {"redis_url", "redis_username", "redis_password", "redis_sentinel", "redis_sentinel_primary",
     "redis_sentinel_password", "redis_tls_ca_file", "config", "host", "port", "admin_port", "attempt_timeout_seconds",
     "drain_timeout_seconds", "shutdown_timeout_seconds", "traces"}
)  # fmt: skip
"""Settings that the chart derives, and rejects under `settings`."""

Schema = dict[str, Any]

FREE: Schema = {"type": "object"}
TEXTS: Schema = {"type": "array", "items": {"type": "string", "minLength": 1}}
OBJECTS: Schema = {"type": "array", "items": {"type": "object"}}
LABELS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
PORTS: Schema = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 65535}}
COUNTED = re.compile(r"\^({0})?({0})\{{([01]),(\d+)\}}\$".format(r"\[(?:[^]\\]|\\.)+\]"))
"""Pattern of at most one character, then a number of others, such as `^[a-z][a-z0-9-]{0,62}$`."""
CIDRS: Schema = {"type": "array", "items": {"type": "string", "pattern": "^[0-9a-fA-F:.]+/[0-9]{1,3}$"}}
DIGEST: Schema = {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"}
NAME: Schema = {"type": "string", "pattern": "^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$"}
TAG: Schema = {"type": "string", "pattern": "^([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$"}
HOST: Schema = {"type": "string", "pattern": "^([*][.])?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"}
HOSTS: Schema = {"type": "array", "items": HOST}
VARIABLE: Schema = {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "not": {"pattern": "^WAYBILL_"}}

KEY_OF_SECRET: Schema = {
    "type": "object",
    "properties": {"name": {"type": "string", "minLength": 1}, "key": {"type": "string", "minLength": 1}},
    "required": ["name", "key"],
    "additionalProperties": False,
}

EXTERNAL_SECRET: Schema = {
    "type": "object",
    "properties": {
        "store": {
            "type": "object",
            "properties": {"kind": {"enum": ["SecretStore", "ClusterSecretStore"]}, "name": {"type": "string"}},
            "required": ["kind", "name"],
            "additionalProperties": False,
        },
        "refreshInterval": {"type": "string", "pattern": "^[0-9]+(s|m|h)$"},
        "data": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": VARIABLE,
            "additionalProperties": {"type": "object", "required": ["key"]},
        },
    },
    "required": ["store", "data"],
    "additionalProperties": False,
}


def alert_changes(alerts: Iterable[Alert]) -> Schema:
    """Build the schema of the changes of alerts, by their names."""
    change: Schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "enabled": {"type": "boolean"},
            "threshold": {"type": "number", "minimum": 0},
            "for": {"type": "string", "pattern": "^[0-9]+(s|m|h|d)$"},
            "severity": {"type": "string", "minLength": 1},
            "labels": LABELS,
        },
    }
    return {"type": "object", "additionalProperties": False, "properties": {each.name: change for each in alerts}}


EXACT: dict[str, Schema] = {
    "commonLabels": LABELS,
    "commonAnnotations": LABELS,
    "image.repository": {"type": "string", "minLength": 1},
    "nameOverride": NAME,
    "fullnameOverride": NAME,
    "image.tag": TAG,
    "image.digest": DIGEST,
    "image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "imagePullSecrets": OBJECTS,
    "serviceAccount.annotations": LABELS,
    "rules.existingConfigMaps": TEXTS,
    "rules.mistakesFormat": {"enum": ["text", "json"]},
    "rules.publishTimeoutSeconds": {"type": "integer", "minimum": 10},
    "secrets.existingSecrets": TEXTS,
    "secrets.external": {"type": "object", "additionalProperties": EXTERNAL_SECRET},
    "secrets.trial": {"type": "object", "propertyNames": VARIABLE, "additionalProperties": {"type": "string"}},
    "secrets.env": {
        "type": "object",
        "propertyNames": VARIABLE,
        "additionalProperties": KEY_OF_SECRET,
    },
    "redis.url": {"type": "string", "pattern": "^((redis|rediss|unix)://.+)?$"},
    "redis.sentinel.hosts": {"type": "array", "items": {"type": "string", "pattern": "^[^:,/ ]+:[0-9]{1,5}$"}},
    "hostUsers": {"type": ["boolean", "null"]},
    "rules.podAnnotations": LABELS,
    "rules.podLabels": LABELS,
    "redis.embedded.retentionPolicy": FREE,
    "redis.embedded.image.tag": TAG,
    "redis.embedded.image.digest": DIGEST,
    "redis.embedded.storage": {"type": "string", "pattern": "^[0-9]+([.][0-9]+)?[kKMGTP]i?$"},
    "redis.embedded.nodeSelector": LABELS,
    "redis.embedded.maxMemory": {"type": "string", "pattern": "^[1-9][0-9]*(kb|mb|gb)$"},
    "service.autoscaling.kind": {"enum": ["none", "hpa"]},
    "service.serviceAnnotations": LABELS,
    "service.serviceType": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
    "service.nodePort": {"type": ["integer", "null"], "minimum": 1, "maximum": 65535},
    "service.externalTrafficPolicy": {"enum": ["", "Cluster", "Local"]},
    "service.loadBalancerSourceRanges": CIDRS,
    "service.ipFamilyPolicy": {"enum": ["", "SingleStack", "PreferDualStack", "RequireDualStack"]},
    "service.ipFamilies": {"type": "array", "items": {"enum": ["IPv4", "IPv6"]}, "maxItems": 2},
    "workers.autoscaling.kind": {"enum": ["none", "hpa", "keda"]},
    "workers.autoscaling.keda.trigger": {"enum": ["queue", "due"]},
    "workers.autoscaling.keda.address": {"type": "string", "pattern": "^([^:/ ]+:[0-9]{1,5})?$"},
    "workers.autoscaling.keda.authentication.kind": {"enum": ["TriggerAuthentication", "ClusterTriggerAuthentication"]},
    "workers.autoscaling.keda.metadata": LABELS,
    "workers.autoscaling.keda.fallback": FREE,
    "workers.autoscaling.keda.annotations": LABELS,
    "workers.attemptTimeoutSeconds": {"type": "integer", "minimum": 1, "maximum": 3600},
    "ingress.annotations": LABELS,
    "ingress.hosts": HOSTS,
    "ingress.tls": OBJECTS,
    "httpRoute.annotations": LABELS,
    "httpRoute.parentRefs": OBJECTS,
    "httpRoute.hostnames": HOSTS,
    "networkPolicy.serviceOutbound": {"enum": ["auto", "always", "never"]},
    "networkPolicy.redisPorts": PORTS,
    "networkPolicy.outboundPorts": PORTS,
    "networkPolicy.dnsPorts": PORTS,
    "networkPolicy.exceptCidrs": CIDRS,
    "networkPolicy.exceptCidrs6": CIDRS,
    "monitoring.podMonitor.labels": LABELS,
    "monitoring.podMonitor.interval": {"type": "string", "pattern": "^[0-9]+(ms|s|m)$"},
    "monitoring.podMonitor.scrapeTimeout": {"type": "string", "pattern": "^([0-9]+(ms|s|m))?$"},
    "monitoring.traces.endpoint": {"type": "string", "pattern": "^(https?://[^/ ]+(/.*)?)?$"},
    "monitoring.traces.sampleRatio": {"type": "number", "minimum": 0, "maximum": 1},
    "monitoring.runbookUrl": {"type": "string", "pattern": "^(https?://.*/)?$"},
    "monitoring.prometheusRule.labels": LABELS,
    "monitoring.prometheusRule.alertLabels": LABELS,
    "monitoring.prometheusRule.alerts": alert_changes(METRICS),
    "monitoring.lokiRules.alertLabels": LABELS,
    "monitoring.lokiRules.alerts": alert_changes(LOGS),
    "monitoring.dashboards.logStore": {"enum": ["loki", "victorialogs"]},
    "monitoring.dashboards.annotations": LABELS,
    "monitoring.dashboards.grafanaOperator.instanceLabels": LABELS,
    "podSecurityContext": FREE,
    "containerSecurityContext": FREE,
    "dnsPolicy": {"enum": ["", "ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]},
    "dnsConfig": FREE,
    "extraEnvFrom": OBJECTS,
    "extraObjects": OBJECTS,
    "extraEnv": OBJECTS,
    "extraVolumes": OBJECTS,
    "extraVolumeMounts": OBJECTS,
}
"""Schemas by path that cannot be derived from the default value."""


def _component_schemas(name: str) -> dict[str, Schema]:
    return {
        f"{name}.autoscaling.min": {"type": "integer", "minimum": 1},
        f"{name}.autoscaling.max": {"type": "integer", "minimum": 1},
        f"{name}.autoscaling.cpuPercent": {"type": "integer", "minimum": 1},
        f"{name}.autoscaling.behavior": FREE,
        f"{name}.pdb.maxUnavailable": {"type": ["integer", "string"], "minimum": 1, "pattern": "^[0-9]+%$"},
        f"{name}.strategy": FREE,
        f"{name}.lifecycle": FREE,
        f"{name}.probes.startup": FREE,
        f"{name}.probes.liveness": FREE,
        f"{name}.probes.readiness": FREE,
        f"{name}.startupTimeoutSeconds": {"type": "integer", "minimum": 2},
        f"{name}.annotations": LABELS,
        f"{name}.podAnnotations": LABELS,
        f"{name}.podLabels": LABELS,
        f"{name}.nodeSelector": LABELS,
        f"{name}.affinity": FREE,
    }


KUBERNETES_OBJECTS = frozenset({"resources"})
"""Keys whose values are objects of Kubernetes."""


def build_schema() -> Schema:
    """Build the whole schema."""
    definitions = _definitions()
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schemas = EXACT | _component_schemas("service") | _component_schemas("workers") | _from_structs(definitions)
    schema = _object(values, "", schemas)
    # Other charts of an umbrella have further global values.
    schema["properties"]["global"]["additionalProperties"] = True
    schema["properties"]["global"]["properties"]["imagePullSecrets"] = {"type": "array"}
    return {"$schema": "http://json-schema.org/draft-07/schema#", **schema, "definitions": definitions}


def _object(values: Mapping[str, Any], at: str, schemas: dict[str, Schema]) -> Schema:
    properties = {key: _value(value, f"{at}{key}", key, schemas) for key, value in values.items()}
    for path, schema in schemas.items():  # sections of waybill.yaml that have no default
        if path.startswith(at) and "." not in path.removeprefix(at):
            properties.setdefault(path.removeprefix(at), schema)
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _value(value: Any, path: str, key: str, schemas: dict[str, Schema]) -> Schema:
    if path in schemas or key in KUBERNETES_OBJECTS:
        return schemas.get(path, FREE)
    match value:
        case dict():
            if not value:
                raise ValueError(f"{path}: the default is an empty object. Add its schema to EXACT")
            return _object(cast("Schema", value), f"{path}.", schemas)
        case list():
            return OBJECTS
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer", "minimum": 0}
        case _:
            return {"type": "string"}


def _definitions() -> dict[str, Schema]:
    types = [
        CONFIG_TYPE,
        DESTINATION_TYPE,
        RecordKindConfig,
        SourceConfig,
        _General,
        Rule,
        Settings,
        EnvelopeConfig,
        *load_actions(),
    ]
    roots, components = msgspec.json.schema_components(types, ref_template="#/definitions/{name}")
    definitions: dict[str, Schema] = {name.lstrip("_"): _tidy(schema) for name, schema in components.items()}
    definitions["PlatformConfig"] = _tidy(roots[0])
    definitions["DestinationConfig"] = _with_default_kind(_tidy(roots[1]), definitions)
    definitions["SecretRef"]["oneOf"] = [{"required": ["env"]}, {"required": ["file"]}]
    _tighten_source(definitions)
    _tighten_rule(definitions)
    return {name: definitions[name] for name in sorted(definitions)}


def _with_default_kind(union: Schema, definitions: dict[str, Schema]) -> Schema:
    """Allow a destination without a kind, which is http. A member of the union then applies without its tag."""
    definitions["HttpConfig"]["required"].remove("kind")
    http = next(member for member in union["allOf"] if member["then"]["$ref"].endswith("/HttpConfig"))
    del http["if"]["required"]
    return {name: schema for name, schema in union.items() if name != "required"}


def _tighten_source(definitions: dict[str, Schema]) -> None:
    """Allow `envelope: platform` as the short form of `envelope: {kind: platform}`."""
    source = definitions["SourceConfig"]["properties"]
    kinds = source["envelope"]["properties"]["kind"]["enum"]
    source["envelope"] = {"if": {"type": "string"}, "then": {"enum": kinds}, "else": source["envelope"]}


def _tighten_rule(definitions: dict[str, Schema]) -> None:
    """Add the checks of the rule compiler: one key per node, known operators, the fields of each action."""
    condition = definitions["Condition"]
    condition["properties"]["op"] = {"enum": sorted(OPERATORS)}
    condition["oneOf"] = [{"required": [word.rstrip("_")]} for word in NODE_KEYS]
    condition["dependencies"] = {"field": ["op"], "any_of": ["where"], "all_of": ["where"], "none_of": ["where"]}
    tags = {str(action.__struct_config__.tag): action.__name__ for action in load_actions()}
    mapping = {tag: f"#/definitions/{name}" for tag, name in tags.items()}
    definitions["Rule"]["properties"]["actions"] = {"type": "array", "items": _by_tag("do", mapping, nullable=False)}


def _from_structs(definitions: dict[str, Schema]) -> dict[str, Schema]:
    settings = definitions.pop("Settings")["properties"]
    free = {name: schema for name, schema in settings.items() if name not in DERIVED}
    named: Schema = {"type": "object", "propertyNames": _pattern(SOURCE_NAME)}
    schemas: dict[str, Schema] = {
        "config.platforms": {**named, "additionalProperties": {"$ref": "#/definitions/PlatformConfig"}},
        "config.destinations": {**named, "additionalProperties": {"$ref": "#/definitions/DestinationConfig"}},
        "config.records": {
            "type": "object",
            "propertyNames": _pattern("^[a-z][a-z0-9_]{0,39}$"),
            "additionalProperties": {"$ref": "#/definitions/RecordKindConfig"},
        },
        "config.sources": {**named, "additionalProperties": {"$ref": "#/definitions/SourceConfig"}},
        "rules.files": {
            "type": "object",
            "propertyNames": _pattern("^[a-z0-9][a-z0-9-]{0,62}$"),
            "additionalProperties": {"type": "array", "items": {"$ref": "#/definitions/Rule"}},
        },
    }
    for section, schema in definitions.pop("General")["properties"].items():
        if section != "rules":
            schemas[f"config.{section}"] = schema
    definitions["Settings"] = {"type": "object", "additionalProperties": False, "properties": free}
    return schemas | {
        path: {"$ref": "#/definitions/Settings"} for path in ("settings", "service.settings", "workers.settings")
    }


def _tidy(schema: Any) -> Any:
    """Convert msgspec's draft 2020-12 to draft-07: unions by tag, patterns of Go, no defaults."""
    if isinstance(schema, list):
        return [_tidy(item) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    written = cast("Schema", schema)
    if "discriminator" in written:
        discriminator = written["discriminator"]
        nullable = {"type": "null"} in written["anyOf"]
        return _by_tag(discriminator["propertyName"], discriminator["mapping"], nullable=nullable)
    if written.get("anyOf", [])[1:] == [{"type": "null"}]:  # a nullable key is optional
        return _tidy(written["anyOf"][0])
    return dict(_tidied(written))


def _tidied(schema: Schema) -> Iterator[tuple[str, Any]]:
    for key, value in schema.items():
        match key:
            case "title" | "default":
                continue
            case "properties":
                yield key, {name: _tidy(inner) for name, inner in value.items()}
            case "description":
                yield key, re.sub(r"\s+", " ", value)
            case "pattern":
                yield from _pattern(value).items()
            case _:
                yield key, _tidy(value)


def _by_tag(tag: str, mapping: dict[str, str], *, nullable: bool) -> Schema:
    """Select the member by its tag, so that errors refer to this member only."""
    members = [
        {"if": {"properties": {tag: {"const": name}}, "required": [tag]}, "then": {"$ref": reference}}
        for name, reference in mapping.items()
    ]
    return {
        "type": ["object", "null"] if nullable else "object",
        "required": [tag],
        "properties": {tag: {"enum": list(mapping)}},
        "allOf": members,
    }


def _pattern(pattern: str) -> Schema:
    """Return a pattern of Go. A count at the end becomes a length: Go copies what is counted, in each run of Helm."""
    written = pattern.replace(r"\Z", "$")
    if counted := COUNTED.fullmatch(written):
        first, rest, least, most = counted.groups(default="")
        sign = "+" if least == "1" else "*"
        return {"pattern": f"^{first}{rest}{sign}$", "maxLength": int(most) + bool(first)}
    return {"pattern": written}
