"""Panels of the metrics dashboard. `$scope` stands for the matchers of the namespace and the pod."""

from helm.dashboards.generator.panels import Panel, Row
from helm.dashboards.generator.queries import Metric

SCOPE = 'namespace=~"$namespace", pod=~"$pod"'

_OWN_ERRORS = 'reason=~"internal|store_.*"'
_SOURCE = '$scope, source=~"$source"'
_PLATFORM = '$scope, platform=~"$platform"'
_DESTINATION = '$scope, destination=~"$destination"'
_NAMED = _DESTINATION + ', destination!=""'


def _rate(metric: str, by: str, matchers: str = "$scope") -> str:
    return f"sum by ({by}) (rate({metric}{{{matchers}}}[$__rate_interval]))"


def _quantile(part: float, metric: str, by: str = "", matchers: str = "$scope") -> str:
    buckets = f"sum by (le{', ' if by else ''}{by}) (rate({metric}_bucket{{{matchers}}}[$__rate_interval]))"
    return f"histogram_quantile({part}, {buckets})"


def _each_shard(metric: str) -> str:
    """Return the sum over the shards; all pods report the same value of a shard."""
    return f"sum(max by (shard) ({metric}{{$scope}}))"


def _lines(title: str, unit: str, *metrics: Metric) -> Panel:
    return Panel(title, "lines", metrics, unit)


def _bars(title: str, unit: str, *metrics: Metric) -> Panel:
    return Panel(title, "bars", metrics, unit)


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
    ("Open circuit", "max by (platform, destination) (waybill_circuit_open{$scope}) > 0", "orange"),
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
        Panel(
            "Workers alive",
            "number",
            (Metric("min(max by (shard) (waybill_workers_alive{$scope}))"),),
            red=1,
            description="Of the shard with the fewest workers. `waybill workers` lists all.",
            red_below=True,
        ),
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
        Panel("Pending events", "number", (Metric(_each_shard("waybill_events_pending")),)),
        Panel(
            "Parked jobs",
            "number",
            (Metric(_each_shard("waybill_parked_jobs")),),
            description="Jobs that wait for an open circuit or a limit. `waybill platforms list` names the accounts.",
        ),
        Panel("Dead letters", "number", (Metric(_each_shard("waybill_dead_letters")),), red=1),
    ),
)
INGRESS = Row(
    "Ingress",
    (
        _lines(
            "Deliveries by source", "reqps", Metric(_rate("waybill_deliveries_total", "source", _SOURCE), "{{source}}")
        ),
        _bars(
            "Deliveries by status", "reqps", Metric(_rate("waybill_deliveries_total", "status", _SOURCE), "{{status}}")
        ),
        _bars(
            "Rejected and failed, by reason",
            "reqps",
            Metric(
                _rate("waybill_deliveries_total", "source, reason", _SOURCE + ', reason!=""'),
                "{{source}} {{reason}}",
            ),
        ),
        _lines(
            "Time to acknowledgement",
            "s",
            Metric(_quantile(0.5, "waybill_delivery_ack_seconds", "", _SOURCE), "p50"),
            Metric(_quantile(0.99, "waybill_delivery_ack_seconds", "", _SOURCE), "p99"),
        ),
        _bars(
            "Quarantined deliveries, duplicates with other content",
            "reqps",
            Metric(_rate("waybill_quarantined_total", "source, outcome", _SOURCE), "{{source}} {{outcome}}"),
            Metric(_rate("waybill_differing_duplicates_total", "source", _SOURCE), "{{source}} differing duplicate"),
        ),
        _lines(
            "Closed connections and denied admin calls",
            "ops",
            Metric(_rate("waybill_connections_closed_total", "reason"), "closed: {{reason}}"),
            Metric(_rate("waybill_admin_denied_total", "reason"), "denied: {{reason}}"),
        ),
    ),
)
QUEUE = Row(
    "Queue",
    (
        _lines(
            "Jobs by state",
            "short",
            Metric("sum by (state) (max by (shard, state) (waybill_queue_jobs{$scope}))", "{{state}}"),
            Metric(_each_shard("waybill_parked_jobs"), "parked"),
        ),
        _lines(
            "Age",
            "s",
            Metric("max(waybill_oldest_due_age_seconds{$scope})", "longest due job"),
            Metric("max(waybill_oldest_event_age_seconds{$scope})", "oldest pending event"),
            Metric("max(waybill_parked_age_seconds{$scope})", "longest parked job"),
        ),
        Panel(
            "Pending events of the limit",
            "lines",
            (
                Metric(
                    "max by (shard) (waybill_events_pending{$scope}) / scalar(min(waybill_events_pending_max{$scope}))",
                    "shard {{shard}}",
                ),
            ),
            "percentunit",
            0.8,
            "At 100 %, deliveries are answered 503.",
        ),
        _lines(
            "Queue wait",
            "s",
            Metric(_quantile(0.5, "waybill_queue_wait_seconds"), "p50"),
            Metric(_quantile(0.95, "waybill_queue_wait_seconds"), "p95"),
        ),
        _lines(
            "End-to-end latency p95",
            "s",
            Metric(_quantile(0.95, "waybill_end_to_end_seconds", "source", _SOURCE), "{{source}}"),
        ),
        _bars(
            "Dead-lettered events",
            "ops",
            Metric(
                _rate("waybill_events_dead_lettered_total", "source, error_kind", _SOURCE),
                "{{source}} {{error_kind}}",
            ),
        ),
    ),
)
ATTEMPTS = Row(
    "Attempts",
    (
        _bars("Attempts by outcome", "ops", Metric(_rate("waybill_attempts_total", "outcome", _SOURCE), "{{outcome}}")),
        _bars(
            "Failed attempts by error",
            "ops",
            Metric(_rate("waybill_attempt_errors_total", "source, error_kind", _SOURCE), "{{source}} {{error_kind}}"),
        ),
        _lines(
            "Duration of an attempt p95",
            "s",
            Metric(_quantile(0.95, "waybill_attempt_seconds", "source", _SOURCE), "{{source}}"),
        ),
    ),
)
PLATFORMS = Row(
    "Platforms",
    (
        _lines(
            "Calls by platform", "reqps", Metric(_rate("waybill_fetches_total", "platform", _PLATFORM), "{{platform}}")
        ),
        _lines(
            "Failed calls, share",
            "percentunit",
            Metric(
                _rate("waybill_fetches_total", "platform", _PLATFORM + ', outcome="error"')
                + " / "
                + _rate("waybill_fetches_total", "platform", _PLATFORM),
                "{{platform}}",
            ),
        ),
        _lines(
            "Records missing, share",
            "percentunit",
            Metric(
                _rate("waybill_records_expected_total", "platform, record_kind", _PLATFORM + ', result="missing"')
                + " / "
                + _rate("waybill_records_expected_total", "platform, record_kind", _PLATFORM),
                "{{platform}} {{record_kind}}",
            ),
        ),
        _lines(
            "Response time p95",
            "s",
            Metric(_quantile(0.95, "waybill_fetch_seconds", "platform", _PLATFORM), "{{platform}}"),
        ),
        _bars(
            "Failed calls by error",
            "reqps",
            Metric(
                _rate("waybill_fetches_total", "platform, error_kind", _PLATFORM + ', outcome="error"'),
                "{{platform}} {{error_kind}}",
            ),
        ),
        Panel(
            "Open circuits by account and destination",
            "bars",
            (Metric("max by (platform, destination) (waybill_circuit_open{$scope})", "{{platform}} {{destination}}"),),
            description="1: calls are not made until a probe succeeds. `waybill platforms resume` closes a circuit.",
        ),
        Panel(
            "Look-ups by outcome",
            "bars",
            (Metric(_rate("waybill_lookups_total", "platform, outcome", _PLATFORM), "{{platform}} {{outcome}}"),),
            "reqps",
            description="Records that rules look up. Error: also look-ups that a limit or an open circuit deferred.",
        ),
        _lines(
            "Duration of a look-up p95",
            "s",
            Metric(_quantile(0.95, "waybill_lookup_seconds", "platform", _PLATFORM), "{{platform}}"),
        ),
        _bars(
            "Changes found by polls",
            "ops",
            Metric(_rate("waybill_poll_changes_total", "source", _SOURCE), "{{source}}: ingested"),
            Metric(_rate("waybill_poll_misses_total", "source", _SOURCE), "{{source}}: without a delivery"),
        ),
    ),
)
RULES = Row(
    "Rules and actions",
    (
        _bars("Effects by rule", "ops", Metric(_rate("waybill_effects_total", "rule_id", _DESTINATION), "{{rule_id}}")),
        _bars(
            "Failed effects",
            "ops",
            Metric(
                _rate("waybill_effects_total", "rule_id, action_type, error_kind", _DESTINATION + ', outcome="error"'),
                "{{rule_id}} {{action_type}} {{error_kind}}",
            ),
        ),
        _bars(
            "Effects by destination",
            "ops",
            Metric(_rate("waybill_effects_total", "destination", _NAMED), "{{destination}}"),
        ),
        _lines(
            "Failed effects by destination, share",
            "percentunit",
            Metric(
                _rate("waybill_effects_total", "destination", _NAMED + ', outcome="error"')
                + " / "
                + _rate("waybill_effects_total", "destination", _NAMED),
                "{{destination}}",
            ),
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
        _lines(
            "Duration of an effect p95",
            "s",
            Metric(
                _quantile(0.95, "waybill_effect_seconds", "action_type, destination", _DESTINATION),
                "{{action_type}} {{destination}}",
            ),
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
_TIME_UNTIL_FULL = (
    "(0.8 - max by (shard) (waybill_store_memory_ratio{$scope}))"
    " / (max by (shard) (deriv(waybill_store_memory_ratio{$scope}[6h])) > 0)"
)
STORE = Row(
    "Store",
    (
        _lines(
            "Memory of each server",
            "bytes",
            Metric("max by (shard) (waybill_store_memory_bytes{$scope})", "server of shard {{shard}}"),
        ),
        Panel(
            "Memory of the limit",
            "lines",
            (Metric("max by (shard) (waybill_store_memory_ratio{$scope})", "server of shard {{shard}}"),),
            "percentunit",
            0.8,
            "From 80 %, deliveries are answered 503.",
        ),
        Panel(
            "Time until the memory is full",
            "lines",
            (Metric(_TIME_UNTIL_FULL, "server of shard {{shard}}"),),
            "s",
            description="Time until 80 % at the growth of the last six hours. Empty while the memory does not grow.",
        ),
        _lines(
            "Duration of a call p99", "s", Metric(_quantile(0.99, "waybill_store_call_seconds", "call"), "{{call}}")
        ),
        Panel(
            "Damaged keys",
            "number",
            (Metric(_each_shard("waybill_store_damaged_keys")),),
            red=1,
            description="Another program wrote to keys of Waybill. They are set aside, and events go on.",
        ),
        _bars(
            "Failed calls",
            "ops",
            Metric(_rate("waybill_store_errors_total", "call, error_kind"), "{{call}} {{error_kind}}"),
        ),
        _bars(
            "Lost leases and late results",
            "ops",
            Metric(_rate("waybill_leases_lost_total", "namespace"), "leases lost"),
            Metric(_rate("waybill_late_results_total", "outcome"), "late result: {{outcome}}"),
        ),
    ),
)
PROCESSES = Row(
    "Processes",
    (
        _lines(
            "CPU",
            "short",
            Metric("sum by (pod) (rate(process_cpu_seconds_total{$scope}[$__rate_interval]))", "{{pod}}"),
        ),
        _lines("Resident memory", "bytes", Metric("max by (pod) (process_resident_memory_bytes{$scope})", "{{pod}}")),
        _lines(
            "Lag of the event loop p99",
            "s",
            Metric(_quantile(0.99, "waybill_event_loop_lag_seconds", "pod"), "{{pod}}"),
        ),
        _bars(
            "Failed background tasks",
            "ops",
            Metric(_rate("waybill_background_task_failures_total", "task, error_kind"), "{{task}} {{error_kind}}"),
        ),
        _bars("Lost log lines", "ops", Metric(_rate("waybill_log_lines_dropped_total", "pod"), "{{pod}}")),
        _bars(
            "Lost spans",
            "ops",
            Metric(_rate("waybill_spans_total", "pod, outcome", '$scope,outcome!="exported"'), "{{pod}} {{outcome}}"),
        ),
        _bars(
            "Checks without a free file descriptor",
            "ops",
            Metric(_rate("waybill_files_exhausted_total", "pod"), "{{pod}}"),
        ),
        _lines(
            "Clock of the store minus clock of the pod",
            "s",
            Metric("max by (pod) (waybill_clock_difference_seconds{$scope})", "{{pod}}"),
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
