"""What should wake somebody. Each alert has a section of the same name in docs/operations.md, which says what to do."""

from typing import Any, Literal

import yaml
from msgspec import Struct

from helm.dashboards.generator.logql import to_logql
from helm.dashboards.generator.questions import Count, Where

RUNBOOK = "docs/operations.md"
"""Where the alerts are explained, from the repository's top; a chart's user may put an address before it."""

NOTE = "# Made by `python -m helm.dashboards.generator`.\n"


class Alert(Struct, frozen=True):
    """One alert: `expr` in PromQL or LogQL, for how long it has to hold, and what it says."""

    name: str
    expr: str
    hold: str
    severity: Literal["critical", "warning"]
    summary: str


METRICS = (
    Alert(
        "WaybillStoreDown",
        "min by (namespace) (waybill_store_up) == 0",
        "2m",
        "critical",
        "A pod cannot reach the store, so deliveries are answered 503 and jobs wait.",
    ),
    Alert(
        "WaybillNoWorker",
        "max by (namespace) (waybill_workers_alive) == 0",
        "5m",
        "critical",
        "No worker is alive. Deliveries are still accepted and wait.",
    ),
    Alert(
        "WaybillAnswers5xx",
        'sum by (namespace) (rate(waybill_deliveries_total{reason=~"internal|store_.*"}[5m]))'
        " / sum by (namespace) (rate(waybill_deliveries_total[5m])) > 0.01",
        "5m",
        "critical",
        "More than one delivery in a hundred is answered 5xx; senders come again, for as long as they do.",
    ),
    Alert(
        "WaybillEventsOld",
        "max by (namespace) (waybill_oldest_event_age_seconds) > 1800",
        "10m",
        "warning",
        "The oldest event has waited for more than half an hour.",
    ),
    Alert(
        "WaybillDeadLetters",
        "max by (namespace) (waybill_dead_letters) > 0",
        "5m",
        "warning",
        "Dead letters wait for a person.",
    ),
    Alert(
        "WaybillDeliveriesRejected",
        'sum by (namespace, source) (increase(waybill_deliveries_total{reason=~"not_verified|stale_timestamp"}[10m]))'
        " > 20",
        "5m",
        "warning",
        "A source's deliveries cannot be verified: a changed secret, a clock, or a stranger.",
    ),
    Alert(
        "WaybillAdminDenied",
        "sum by (namespace, reason) (increase(waybill_admin_denied_total[10m])) > 20",
        "0m",
        "warning",
        "Somebody calls the admin API again and again without a token that may.",
    ),
    Alert(
        "WaybillFetchesFail",
        'sum by (namespace, platform) (rate(waybill_fetches_total{outcome="error"}[10m]))'
        " / sum by (namespace, platform) (rate(waybill_fetches_total[10m])) > 0.5",
        "10m",
        "warning",
        "More than half of the questions to a platform fail.",
    ),
    Alert(
        "WaybillRulebookRejected",
        "sum by (namespace) (increase(waybill_rulebooks_rejected_total[15m])) > 0",
        "0m",
        "warning",
        "A worker cannot load the published rulebook and goes on with the one before.",
    ),
    Alert(
        "WaybillRulebooksDiffer",
        "count by (namespace) (count by (namespace, version) (waybill_rulebook_rules)) > 1",
        "15m",
        "warning",
        "Workers decide by different rulebooks.",
    ),
    Alert(
        "WaybillLeasesLost",
        "sum by (namespace) (increase(waybill_leases_lost_total[15m])) > 10",
        "0m",
        "warning",
        "Workers lose leases: they stall, or the store is slow.",
    ),
    Alert(
        "WaybillStoreFillsUp",
        "max by (namespace) (waybill_store_memory_ratio) > 0.7",
        "10m",
        "warning",
        "The store is more than 70 % full; from 80 % on deliveries are answered 503.",
    ),
    Alert(
        "WaybillStoreSlow",
        "histogram_quantile(0.99, sum by (namespace, le) (rate(waybill_store_call_seconds_bucket[5m]))) > 0.5",
        "10m",
        "warning",
        "One call in a hundred to the store takes more than half a second.",
    ),
)


def _logged(count: Count, more: int) -> str:
    query = to_logql(count).replace("$__auto", "10m").removesuffix(" or vector(0)")
    bare = query.replace('namespace=~"$namespace", ', "").replace("$app", "waybill")
    passed = bare.replace(' | source_name=~"$source"', "")
    return f"{passed} > {more}"


LOGS = (
    Alert(
        "WaybillDeadLettersLogged",
        _logged(Count("attempt.finished", ("source_name",), (Where("outcome", "=", "dead_lettered"),)), 0),
        "0m",
        "warning",
        "Events became dead letters.",
    ),
    Alert(
        "WaybillDeliveriesRejectedLogged",
        _logged(Count("delivery.received", ("source_name",), (Where("delivery_status", "=", "rejected"),)), 20),
        "5m",
        "warning",
        "A source's deliveries are refused.",
    ),
    Alert(
        "WaybillEventsOldLogged",
        'max(max_over_time({app="waybill", component="workers"} |= "queue.sampled" | json message, oldest_age_ms'
        ' | message="queue.sampled" | unwrap oldest_age_ms | __error__="" [5m])) > 1800000',
        "10m",
        "warning",
        "The oldest event has waited for more than half an hour.",
    ),
    Alert(
        "WaybillWorkersSilent",
        'absent_over_time({app="waybill", component="workers"} |= "queue.sampled" [5m])',
        "0m",
        "critical",
        "No worker has said anything, though each does so every few seconds: none runs, or logs do not arrive.",
    ),
    Alert(
        "WaybillStoreNotDurable",
        'sum(count_over_time({app="waybill", component="service"} |= "store.not_durable" | json message'
        ' | message="store.not_durable" [5m])) > 0',
        "0m",
        "critical",
        "The store does not keep what WAYBILL_DURABILITY promises; nothing is acknowledged.",
    ),
)


def prometheus_rules() -> str:
    """Make the rules for Prometheus."""
    return _rules(METRICS)


def loki_rules() -> str:
    """Make the rules for Loki's ruler."""
    return _rules(LOGS)


def _rules(alerts: tuple[Alert, ...]) -> str:
    rules: list[dict[str, Any]] = [
        {
            "alert": alert.name,
            "expr": alert.expr,
            "for": alert.hold,
            "labels": {"severity": alert.severity},
            "annotations": {"summary": alert.summary, "runbook_url": f"{RUNBOOK}#{alert.name.lower()}"},
        }
        for alert in alerts
    ]
    groups = {"groups": [{"name": "waybill", "rules": rules}]}
    return NOTE + yaml.safe_dump(groups, sort_keys=False, width=1_000, allow_unicode=True)
