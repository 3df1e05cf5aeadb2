"""Panels of the metrics dashboard. `$scope` stands for the matchers of the namespace and the pod."""

from helm.dashboards.generator.panels import Panel, Row
from helm.dashboards.generator.queries import Metric

SCOPE = 'namespace=~"$namespace", pod=~"$pod"'

_OWN_ERRORS = 'reason=~"internal|store_.*"'
_SOURCE = '$scope, source=~"$source"'
_PLATFORM = '$scope, platform=~"$platform"'


def _rate(metric: str, by: str, matchers: str = "$scope") -> str:
    return f"sum by ({by}) (rate({metric}{{{matchers}}}[$__rate_interval]))"


def _quantile(part: float, metric: str, by: str = "", matchers: str = "$scope") -> str:
    buckets = f"sum by (le{', ' if by else ''}{by}) (rate({metric}_bucket{{{matchers}}}[$__rate_interval]))"
    return f"histogram_quantile({part}, {buckets})"


ANNOTATIONS = (
    (
        "New version",
        "count by (component, version) (waybill_build_info{$scope} unless waybill_build_info{$scope} offset 2m)",
        "blue",
    ),
    (
        "New rulebook",
        "count by (version) (waybill_rulebook_rules{$scope} unless waybill_rulebook_rules{$scope} offset 2m)",
        "green",
    ),
    ("Parked events", "max(waybill_parked_jobs{$scope}) > 0", "orange"),
)
"""Name, expression and color of each annotation."""

OVERVIEW = Row(
    "Overview",
    (
        Panel(
            "Store answers",
            "number",
            (Metric("min(waybill_store_up{$scope})"),),
            "bool_yes_no",
            1,
            "No: a pod cannot reach the store. Deliveries are answered 503, and no job runs.",
            red_below=True,
        ),
        Panel("Workers alive", "number", (Metric("max(waybill_workers_alive{$scope})"),), red=1, red_below=True),
        Panel("Deliveries per second", "number", (Metric("sum(rate(waybill_deliveries_total{$scope}[5m]))"),), "reqps"),
        Panel(
            "5xx rate",
            "number",
            (
                Metric(
                    f"sum(rate(waybill_deliveries_total{{$scope, {_OWN_ERRORS}}}[5m]))"
                    " / sum(rate(waybill_deliveries_total{$scope}[5m])) or vector(0)"
                ),
            ),
            "percentunit",
            0.01,
            "Errors of Waybill or its store. Senders redeliver.",
        ),
        Panel("Longest due job", "number", (Metric("max(waybill_oldest_due_age_seconds{$scope})"),), "s", 1_800),
        Panel("Pending events", "number", (Metric("max(waybill_events_pending{$scope})"),)),
        Panel(
            "Parked jobs",
            "number",
            (Metric("max(waybill_parked_jobs{$scope})"),),
            description="Jobs that wait for an open circuit or a limit. `waybill platforms list` names the accounts.",
        ),
        Panel("Dead letters", "number", (Metric("max(waybill_dead_letters{$scope})"),), red=1),
    ),
)
INGRESS = Row(
    "Ingress",
    (
        Panel(
            "Deliveries by source",
            "lines",
            (Metric(_rate("waybill_deliveries_total", "source", _SOURCE), "{{source}}"),),
            "reqps",
        ),
        Panel(
            "Deliveries by status",
            "bars",
            (Metric(_rate("waybill_deliveries_total", "status", _SOURCE), "{{status}}"),),
            "reqps",
        ),
        Panel(
            "Rejected and failed, by reason",
            "bars",
            (
                Metric(
                    _rate("waybill_deliveries_total", "source, reason", _SOURCE + ', reason!=""'),
                    "{{source}} {{reason}}",
                ),
            ),
            "reqps",
        ),
        Panel(
            "Time to acknowledgement",
            "lines",
            (
                Metric(_quantile(0.5, "waybill_delivery_ack_seconds", "", _SOURCE), "p50"),
                Metric(_quantile(0.99, "waybill_delivery_ack_seconds", "", _SOURCE), "p99"),
            ),
            "s",
        ),
        Panel(
            "Quarantined deliveries, duplicates with other content",
            "bars",
            (
                Metric(_rate("waybill_quarantined_total", "source, outcome", _SOURCE), "{{source}} {{outcome}}"),
                Metric(
                    _rate("waybill_differing_duplicates_total", "source", _SOURCE), "{{source}} differing duplicate"
                ),
            ),
            "reqps",
        ),
        Panel(
            "Closed connections and denied admin calls",
            "lines",
            (
                Metric(_rate("waybill_connections_closed_total", "reason"), "closed: {{reason}}"),
                Metric(_rate("waybill_admin_denied_total", "reason"), "denied: {{reason}}"),
            ),
            "ops",
        ),
    ),
)
QUEUE = Row(
    "Queue",
    (
        Panel(
            "Jobs by state",
            "lines",
            (
                Metric("max by (state) (waybill_queue_jobs{$scope})", "{{state}}"),
                Metric("max(waybill_parked_jobs{$scope})", "parked"),
            ),
        ),
        Panel(
            "Age",
            "lines",
            (
                Metric("max(waybill_oldest_due_age_seconds{$scope})", "longest due job"),
                Metric("max(waybill_oldest_event_age_seconds{$scope})", "oldest pending event"),
                Metric("max(waybill_parked_age_seconds{$scope})", "longest parked job"),
            ),
            "s",
        ),
        Panel(
            "Pending events of the limit",
            "lines",
            (Metric("max(waybill_events_pending{$scope}) / min(waybill_events_pending_max{$scope})", "used"),),
            "percentunit",
            0.8,
            "At 100 %, deliveries are answered 503.",
        ),
        Panel(
            "Queue wait",
            "lines",
            (
                Metric(_quantile(0.5, "waybill_queue_wait_seconds"), "p50"),
                Metric(_quantile(0.95, "waybill_queue_wait_seconds"), "p95"),
            ),
            "s",
        ),
        Panel(
            "End-to-end latency p95",
            "lines",
            (Metric(_quantile(0.95, "waybill_end_to_end_seconds", "source", _SOURCE), "{{source}}"),),
            "s",
        ),
        Panel(
            "Dead-lettered events",
            "bars",
            (
                Metric(
                    _rate("waybill_events_dead_lettered_total", "source, error_kind", _SOURCE),
                    "{{source}} {{error_kind}}",
                ),
            ),
            "ops",
        ),
    ),
)
ATTEMPTS = Row(
    "Attempts",
    (
        Panel(
            "Attempts by outcome",
            "bars",
            (Metric(_rate("waybill_attempts_total", "outcome", _SOURCE), "{{outcome}}"),),
            "ops",
        ),
        Panel(
            "Failed attempts by error",
            "bars",
            (
                Metric(
                    _rate("waybill_attempt_errors_total", "source, error_kind", _SOURCE), "{{source}} {{error_kind}}"
                ),
            ),
            "ops",
        ),
        Panel(
            "Duration of an attempt p95",
            "lines",
            (Metric(_quantile(0.95, "waybill_attempt_seconds", "source", _SOURCE), "{{source}}"),),
            "s",
        ),
    ),
)
PLATFORMS = Row(
    "Platforms",
    (
        Panel(
            "Calls by platform",
            "lines",
            (Metric(_rate("waybill_fetches_total", "platform", _PLATFORM), "{{platform}}"),),
            "reqps",
        ),
        Panel(
            "Failed calls, share",
            "lines",
            (
                Metric(
                    _rate("waybill_fetches_total", "platform", _PLATFORM + ', outcome="error"')
                    + " / "
                    + _rate("waybill_fetches_total", "platform", _PLATFORM),
                    "{{platform}}",
                ),
            ),
            "percentunit",
        ),
        Panel(
            "Records missing, share",
            "lines",
            (
                Metric(
                    _rate("waybill_records_expected_total", "platform, record_kind", _PLATFORM + ', result="missing"')
                    + " / "
                    + _rate("waybill_records_expected_total", "platform, record_kind", _PLATFORM),
                    "{{platform}} {{record_kind}}",
                ),
            ),
            "percentunit",
        ),
        Panel(
            "Response time p95",
            "lines",
            (Metric(_quantile(0.95, "waybill_fetch_seconds", "platform", _PLATFORM), "{{platform}}"),),
            "s",
        ),
        Panel(
            "Failed calls by error",
            "bars",
            (
                Metric(
                    _rate("waybill_fetches_total", "platform, error_kind", _PLATFORM + ', outcome="error"'),
                    "{{platform}} {{error_kind}}",
                ),
            ),
            "reqps",
        ),
        Panel(
            "Look-ups by outcome",
            "bars",
            (Metric(_rate("waybill_lookups_total", "platform, outcome", _PLATFORM), "{{platform}} {{outcome}}"),),
            "reqps",
            description="Records that rules look up. Error: also look-ups that a limit or an open circuit deferred.",
        ),
        Panel(
            "Duration of a look-up p95",
            "lines",
            (Metric(_quantile(0.95, "waybill_lookup_seconds", "platform", _PLATFORM), "{{platform}}"),),
            "s",
        ),
        Panel(
            "Changes found by polls",
            "bars",
            (
                Metric(_rate("waybill_poll_changes_total", "source", _SOURCE), "{{source}}: ingested"),
                Metric(_rate("waybill_poll_misses_total", "source", _SOURCE), "{{source}}: without a delivery"),
            ),
            "ops",
        ),
    ),
)
RULES = Row(
    "Rules and actions",
    (
        Panel("Effects by rule", "bars", (Metric(_rate("waybill_effects_total", "rule_id"), "{{rule_id}}"),), "ops"),
        Panel(
            "Failed effects",
            "bars",
            (
                Metric(
                    _rate("waybill_effects_total", "rule_id, action_type, error_kind", '$scope, outcome="error"'),
                    "{{rule_id}} {{action_type}} {{error_kind}}",
                ),
            ),
            "ops",
        ),
        Panel(
            "Rules unknown or failed",
            "bars",
            (
                Metric(_rate("waybill_rules_unknown_total", "rule_id"), "{{rule_id}} unknown"),
                Metric(_rate("waybill_rule_errors_total", "rule_id"), "{{rule_id}} failed"),
            ),
            "ops",
            description="Unknown: a value was missing or had another type. Failed: the event becomes a dead letter.",
        ),
        Panel(
            "Duration of an effect p95",
            "lines",
            (Metric(_quantile(0.95, "waybill_effect_seconds", "action_type"), "{{action_type}}"),),
            "s",
        ),
        Panel(
            "Rules per rulebook version",
            "lines",
            (Metric("max by (version) (waybill_rulebook_rules{$scope})", "{{version}}"),),
            description="Two versions for longer than a few minutes: a worker cannot load the new one.",
        ),
        Panel(
            "Changes of waybill.yaml",
            "bars",
            (
                Metric(_rate("waybill_config_reloads_total", "outcome"), "{{outcome}}"),
                Metric("count(waybill_config_valid{$scope} == 0)", "processes with an earlier configuration"),
            ),
            description="A rejected change has mistakes; the line config.rejected names them.",
        ),
    ),
)
STORE = Row(
    "Store",
    (
        Panel(
            "Memory",
            "lines",
            (Metric("max(waybill_store_memory_bytes{$scope})", "used"),),
            "bytes",
        ),
        Panel(
            "Memory of the limit",
            "lines",
            (Metric("max(waybill_store_memory_ratio{$scope})", "used"),),
            "percentunit",
            0.8,
            "From 80 %, deliveries are answered 503.",
        ),
        Panel(
            "Duration of a call p99",
            "lines",
            (Metric(_quantile(0.99, "waybill_store_call_seconds", "call"), "{{call}}"),),
            "s",
        ),
        Panel(
            "Failed calls",
            "bars",
            (Metric(_rate("waybill_store_errors_total", "call, error_kind"), "{{call}} {{error_kind}}"),),
            "ops",
        ),
        Panel(
            "Lost leases and late results",
            "bars",
            (
                Metric(_rate("waybill_leases_lost_total", "namespace"), "leases lost"),
                Metric(_rate("waybill_late_results_total", "outcome"), "late result: {{outcome}}"),
            ),
            "ops",
        ),
    ),
)
PROCESSES = Row(
    "Processes",
    (
        Panel(
            "CPU",
            "lines",
            (Metric("sum by (pod) (rate(process_cpu_seconds_total{$scope}[$__rate_interval]))", "{{pod}}"),),
        ),
        Panel(
            "Resident memory",
            "lines",
            (Metric("max by (pod) (process_resident_memory_bytes{$scope})", "{{pod}}"),),
            "bytes",
        ),
        Panel(
            "Lag of the event loop p99",
            "lines",
            (Metric(_quantile(0.99, "waybill_event_loop_lag_seconds", "pod"), "{{pod}}"),),
            "s",
        ),
        Panel(
            "Lost log lines",
            "bars",
            (Metric(_rate("waybill_log_lines_dropped_total", "pod"), "{{pod}}"),),
            "ops",
        ),
        Panel(
            "Lost spans",
            "bars",
            (
                Metric(
                    _rate("waybill_spans_total", "pod, outcome", '$scope,outcome!="exported"'), "{{pod}} {{outcome}}"
                ),
            ),
            "ops",
        ),
        Panel(
            "Checks without a free file descriptor",
            "bars",
            (Metric(_rate("waybill_files_exhausted_total", "pod"), "{{pod}}"),),
            "ops",
        ),
        Panel(
            "Clock of the store minus clock of the pod",
            "lines",
            (Metric("max by (pod) (waybill_clock_difference_seconds{$scope})", "{{pod}}"),),
            "s",
        ),
        Panel(
            "Versions",
            "table",
            (Metric("count by (component, version) (waybill_build_info{$scope})"),),
            description="Number of processes by component and version.",
        ),
    ),
)

METRIC_ROWS = (OVERVIEW, INGRESS, QUEUE, ATTEMPTS, PLATFORMS, RULES, STORE, PROCESSES)
