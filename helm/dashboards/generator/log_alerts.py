"""Alerts on log lines, for Loki's ruler."""

import re

from helm.dashboards.generator.alerts import SCOPE, Alert, alert_rules, to_yaml
from helm.dashboards.generator.logql import to_logql
from helm.dashboards.generator.queries import Count, Where


def _logged(count: Count, threshold: int) -> str:
    query = to_logql(count).replace("$__auto", "10m").removesuffix(" or vector(0)")
    filtered = query.replace('namespace=~"$namespace"', SCOPE).replace("$app", "waybill")
    # An alert has no variables of a dashboard, and the label of the stream is not a field of the line.
    everything = re.sub(r' \| \w+=~"\$\w+"', "", filtered).replace(", instance |", " |")
    return f"{everything.replace('by (source_name)', 'by (namespace, source_name)')} > {threshold}"


def _written(component: str, messages: str) -> str:
    """Return the condition that a line of one of the log events was written within five minutes."""
    lines = f'{{{SCOPE}, app="waybill", component=~"{component}"}} |~ "{messages}" | json message'
    return f'sum by (namespace) (count_over_time({lines} | message=~"{messages}" [5m])) > 0'


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
        "Deliveries of a source are rejected.",
    ),
    Alert(
        "WaybillEventsOldLogged",
        f'max by (namespace) (max_over_time({{{SCOPE}, app="waybill", component="workers"}} |= "queue.sampled" | json'
        ' message, oldest_due_ms | message="queue.sampled" | unwrap oldest_due_ms | __error__="" [5m])) > 1800000',
        "10m",
        "warning",
        "A job has been due for more than 30 minutes, and no worker has claimed it.",
    ),
    Alert(
        "WaybillWorkersSilent",
        f'absent_over_time({{{SCOPE}, app="waybill", component="workers"}} |= "queue.sampled" [5m]) == 1',
        "0m",
        "critical",
        "No log line of a worker for 5 minutes: no worker runs, or log collection fails.",
    ),
    Alert(
        "WaybillStoreNotDurable",
        _written("service", "store.not_durable"),
        "0m",
        "critical",
        "The store does not provide WAYBILL_DURABILITY. Deliveries are answered 503.",
    ),
    Alert(
        "WaybillStoreLostLogged",
        _written("service", "store.lost"),
        "0m",
        "critical",
        "The store was emptied or belongs to another installation. Deliveries are answered 503.",
    ),
    Alert(
        "WaybillCrashedLogged",
        _written("service|workers", "(delivery|request|attempt|action|background_task).crashed"),
        "0m",
        "warning",
        "An unexpected exception occurred. The line has the stack trace; please report it.",
    ),
)


def loki_rules() -> str:
    """Build the alert rules for Loki's ruler."""
    return to_yaml({"waybill": alert_rules(LOGS)})
