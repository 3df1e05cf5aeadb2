"""Alerts and recording rules on metrics, for Prometheus."""

from helm.dashboards.generator.alerts import RELEASE, SCOPE, Alert, Recording, alert_rules, recording_rules, to_yaml

SLOW_SECONDS = 60
"""An event that takes longer from receipt to end is slow. It is a bucket bound of waybill_end_to_end_seconds."""


SLOW_ACK_SECONDS = 1
"""An acknowledgement that takes longer is slow. It is a bucket bound of waybill_delivery_ack_seconds."""


DUE_JOBS = 'waybill_queue_jobs{$scope, state="due"}'
OWN_ERRORS = 'reason=~"internal|store_.*"'


def _delivery_errors(window: str) -> str:
    """Return the share of deliveries that failed by our own fault; rejected deliveries count on neither side."""
    failed = f"rate(waybill_deliveries_total{{$scope, {OWN_ERRORS}}}[{window}])"
    answered = f'rate(waybill_deliveries_total{{$scope, status!="rejected"}}[{window}])'
    return f"sum by (namespace) ({failed}) / sum by (namespace) ({answered} or {failed})"


def _slow(metric: str, seconds: int, window: str) -> str:
    """Return the share of durations that are longer than `seconds`, a bucket bound."""
    fast = f'rate({metric}_bucket{{$scope, le="{seconds}.0"}}[{window}])'
    return f"1 - sum by (namespace) ({fast}) / sum by (namespace) (rate({metric}_count{{$scope}}[{window}]))"


def _slow_events(window: str) -> str:
    return _slow("waybill_end_to_end_seconds", SLOW_SECONDS, window)


def _slow_acknowledgements(window: str) -> str:
    return _slow("waybill_delivery_ack_seconds", SLOW_ACK_SECONDS, window)


RECORDINGS = tuple(
    Recording(f"waybill:{name}:ratio_rate{window}", build(window))
    for name, build in (
        ("delivery_errors", _delivery_errors),
        ("slow_events", _slow_events),
        ("slow_acknowledgements", _slow_acknowledgements),
    )
    for window in ("5m", "30m", "1h", "6h")
)


def _burns(name: str, short: str, long: str, threshold: str) -> str:
    """Return the condition that both windows are above the threshold: burning now, and for long enough to matter."""
    series = f'__name__=~"waybill:{name}:ratio_rate({short}|{long})", {SCOPE}, release="{RELEASE}"'
    return f"min by (namespace) ({{{series}}}) > {threshold}"


def _each_shard(metric: str) -> str:
    """Return the sum over the shards; all pods report the same value of a shard."""
    return f"sum by (namespace) (max by (namespace, shard) ({metric}))"


MISSING = ', result="missing"'


def _expected(function: str, more: str = "") -> str:
    """Return the records that were created or updated, by account and kind."""
    series = f"waybill_records_expected_total{{$scope{more}}}[30m]"
    return f"sum by (namespace, platform, record_kind) ({function}({series}))"


def _half_fail(metric: str, by: str, outcome: str = '="error"') -> str:
    """Return the condition that more than half of the calls fail, and at least ten of them."""
    failed = f"{metric}{{$scope, outcome{outcome}}}[10m]"
    return (
        f"sum by ({by}) (increase({failed})) >= 10"
        f" and sum by ({by}) (rate({failed})) / sum by ({by}) (rate({metric}{{$scope}}[10m])) > 0.5"
    )


METRICS = (
    Alert(
        "WaybillAbsent",
        "absent(waybill_build_info{$scope}) == 1",
        "10m",
        "critical",
        "No pod of Waybill is scraped: none runs, or the network policy or the monitor does not allow it.",
    ),
    Alert(
        "WaybillStoreDown",
        "count by (namespace) (min by (namespace, shard) (waybill_store_up{$scope}) == 0) > 0",
        "2m",
        "critical",
        "Shards whose store a pod cannot reach: {{ $value }}. Their deliveries are answered 503, and no job runs.",
    ),
    Alert(
        "WaybillStoreLost",
        'sum by (namespace) (increase(waybill_store_errors_total{$scope, error_kind="store_lost"}[5m])) > 0',
        "0m",
        "critical",
        "The store was emptied or belongs to another installation. Deliveries are answered 503, and no job runs.",
    ),
    Alert(
        "WaybillStoreWeak",
        'sum by (namespace) (increase(waybill_store_errors_total{$scope, error_kind="store_not_durable"}[5m])) > 0',
        "0m",
        "critical",
        "The store does not provide WAYBILL_DURABILITY. Deliveries are answered 503.",
    ),
    Alert(
        "WaybillStoreKeysDamaged",
        f"{_each_shard('waybill_store_damaged_keys{$scope}')} > 0",
        "0m",
        "warning",
        "Another program damaged keys of the store. They are set aside, and events go on.",
    ),
    Alert(
        "WaybillNoWorker",
        "count by (namespace) (max by (namespace, shard) (waybill_workers_alive{$scope}) == 0) > 0",
        "5m",
        "critical",
        "Shards without a live worker: {{ $value }}. Their deliveries are still accepted and stay queued.",
    ),
    Alert(
        "WaybillAnswers5xx",
        "sum by (namespace) (increase(waybill_deliveries_total{$scope, " + OWN_ERRORS + "}[5m])) >= 10"
        f" and {_delivery_errors('5m')} > 0.01",
        "5m",
        "critical",
        "More than 1 % of deliveries are answered 5xx. Events are lost when senders stop redelivering.",
    ),
    Alert(
        "WaybillDeliveryErrorsBurnFast",
        _burns("delivery_errors", "5m", "1h", "0.0144"),
        "2m",
        "critical",
        "Failed deliveries use up a monthly error budget of 0.1 % in two days.",
    ),
    Alert(
        "WaybillDeliveryErrorsBurnSlow",
        _burns("delivery_errors", "30m", "6h", "0.006"),
        "15m",
        "warning",
        "Failed deliveries use up a monthly error budget of 0.1 % in five days.",
    ),
    Alert(
        "WaybillSlowEventsBurn",
        _burns("slow_events", "30m", "6h", "0.06"),
        "15m",
        "warning",
        "Events that take longer than a minute use up a monthly budget of 1 % in five days.",
    ),
    Alert(
        "WaybillSlowAcknowledgementsBurn",
        _burns("slow_acknowledgements", "30m", "6h", "0.06"),
        "15m",
        "warning",
        "Acknowledgements that take longer than a second use up a monthly budget of 1 % in five days.",
    ),
    Alert(
        "WaybillEventsOld",
        "max by (namespace) (waybill_oldest_due_age_seconds{$scope}) > 1800",
        "10m",
        "warning",
        "A job has been due for more than 30 minutes, and no worker has claimed it.",
    ),
    Alert(
        "WaybillBacklogGrows",
        f"{_each_shard(DUE_JOBS)} >= 1000 and {_each_shard(f'deriv({DUE_JOBS}[30m])')} > 0",
        "30m",
        "warning",
        "More than 1,000 jobs are due, and their number has been growing for half an hour.",
    ),
    Alert(
        "WaybillBacklogFull",
        "max by (namespace) (waybill_events_pending{$scope})"
        " / min by (namespace) (waybill_events_pending_max{$scope}) > 0.8",
        "5m",
        "critical",
        "A shard has 80 % of its part of WAYBILL_BACKLOG_EVENTS_MAX. At 100 %, its deliveries are answered 503.",
    ),
    Alert(
        "WaybillEventsParked",
        "max by (namespace) (waybill_parked_age_seconds{$scope}) > 3600",
        "5m",
        "warning",
        "Events have been parked for more than an hour: the circuit of an account is open, or an operator paused it.",
    ),
    Alert(
        "WaybillCircuitOpen",
        "max by (namespace, platform, destination) (max_over_time(waybill_circuit_open{$scope}[5m])) > 0",
        "10m",
        "warning",
        "The circuit of {{ $labels.platform }}{{ $labels.destination }} has been open for ten minutes: calls fail.",
    ),
    Alert(
        "WaybillDeadLetters",
        f"{_each_shard('waybill_dead_letters{$scope}')} > 0",
        "5m",
        "warning",
        "Dead letters exist. Replay or discard them.",
    ),
    Alert(
        "WaybillSourceSilent",
        "sum by (namespace, source) (increase(waybill_deliveries_total{$scope}[1d] offset 6h)) >= 50"
        " and sum by (namespace, source) (increase(waybill_deliveries_total{$scope}[6h])) < 1",
        "0m",
        "warning",
        "Source {{ $labels.source }} has sent nothing for six hours, and 50 deliveries or more in the day before.",
    ),
    Alert(
        "WaybillDeliveriesRejected",
        "sum by (namespace, source)"
        ' (increase(waybill_deliveries_total{$scope, reason=~"not_verified|stale_timestamp"}[10m])) > 20',
        "5m",
        "warning",
        "Deliveries of source {{ $labels.source }} fail verification: changed secret, wrong clock, or forged requests.",
    ),
    Alert(
        "WaybillQuarantineDrops",
        'sum by (namespace, source) (increase(waybill_quarantined_total{$scope, outcome=~"dropped|failed"}[15m])) > 0',
        "0m",
        "warning",
        "Rejected deliveries of source {{ $labels.source }} are not in quarantine: it is full, or the store failed.",
    ),
    Alert(
        "WaybillAdminDenied",
        "sum by (namespace, reason) (increase(waybill_admin_denied_total{$scope}[10m])) > 20",
        "0m",
        "warning",
        "The admin API denies many calls: missing or unknown token, or insufficient role.",
    ),
    Alert(
        "WaybillConnectionsExhausted",
        "sum by (namespace, reason) (increase(waybill_connections_closed_total{$scope}[10m])) > 0",
        "0m",
        "warning",
        "A port has WAYBILL_CONNECTIONS_MAX connections: others are closed, or new ones rejected.",
    ),
    Alert(
        "WaybillFilesExhausted",
        "sum by (namespace) (increase(waybill_files_exhausted_total{$scope}[5m])) > 0",
        "0m",
        "critical",
        "A pod has no file descriptor left: new connections are closed without a response.",
    ),
    Alert(
        "WaybillFetchesFail",
        _half_fail("waybill_fetches_total", "namespace, platform"),
        "10m",
        "warning",
        "More than 50 % of the calls to {{ $labels.platform }} fail.",
    ),
    Alert(
        "WaybillLookupsFail",
        _half_fail("waybill_lookups_total", "namespace, platform", '!="ok"'),
        "10m",
        "warning",
        "More than 50 % of the look-ups of rules at {{ $labels.platform }} find no record or fail.",
    ),
    Alert(
        "WaybillEffectsFail",
        _half_fail("waybill_effects_total", "namespace, rule_id"),
        "10m",
        "warning",
        "More than 50 % of the effects of rule {{ $labels.rule_id }} fail.",
    ),
    Alert(
        "WaybillRecordsMissing",
        f"{_expected('increase', MISSING)} >= 5 and {_expected('rate', MISSING)} / {_expected('rate')} > 0.2",
        "0m",
        "warning",
        "Over 20 % of created and updated {{ $labels.record_kind }} records of {{ $labels.platform }} are missing.",
    ),
    Alert(
        "WaybillRulesFail",
        "sum by (namespace, rule_id) (increase(waybill_rule_errors_total{$scope}[15m])) > 0",
        "0m",
        "warning",
        "Rule {{ $labels.rule_id }} cannot be evaluated or rendered. Its events are dead letters.",
    ),
    Alert(
        "WaybillRulebookRejected",
        "sum by (namespace) (increase(waybill_rulebooks_rejected_total{$scope}[15m])) > 0",
        "0m",
        "warning",
        "A worker cannot load the published rulebook and continues with the previous one.",
    ),
    Alert(
        "WaybillConfigRejected",
        "min by (namespace) (waybill_config_valid{$scope}) == 0",
        "5m",
        "warning",
        "waybill.yaml has mistakes. Processes continue with the previous configuration.",
    ),
    Alert(
        "WaybillRulebooksDiffer",
        "count by (namespace) (count by (namespace, version) (waybill_rulebook_rules{$scope})) > 1",
        "15m",
        "warning",
        "Workers use different rulebook versions.",
    ),
    Alert(
        "WaybillLeasesLost",
        "sum by (namespace) (increase(waybill_leases_lost_total{$scope}[15m])) > 10",
        "0m",
        "warning",
        "Workers lose leases: a worker stalls, or the store is slow.",
    ),
    Alert(
        "WaybillStoreFillsUp",
        "max by (namespace, shard) (waybill_store_memory_ratio{$scope}) > 0.7",
        "10m",
        "warning",
        "The store's memory is more than 70 % full. From 80 %, deliveries are answered 503.",
    ),
    Alert(
        "WaybillStoreFullSoon",
        "max by (namespace, shard) (waybill_store_memory_ratio{$scope}) > 0.3"
        " and max by (namespace, shard) (predict_linear(waybill_store_memory_ratio{$scope}[6h], 86400)) > 0.8",
        "30m",
        "warning",
        "At the growth of the last six hours, the store's memory is full within a day.",
    ),
    Alert(
        "WaybillStoreSlow",
        "histogram_quantile(0.99, sum by (namespace, le) (rate(waybill_store_call_seconds_bucket{$scope}[5m]))) > 0.5",
        "10m",
        "warning",
        "The p99 latency of store calls is above 0.5 s.",
    ),
    Alert(
        "WaybillEventLoopHeld",
        "histogram_quantile(0.99,"
        " sum by (namespace, le) (rate(waybill_event_loop_lag_seconds_bucket{$scope}[5m]))) > 0.25",
        "10m",
        "warning",
        "The event loop of a process is held for more than 0.25 s.",
    ),
    Alert(
        "WaybillClockSkewed",
        "max by (namespace) (abs(waybill_clock_difference_seconds{$scope})) > 1",
        "5m",
        "warning",
        "The clock of a pod and the clock of the store differ by more than a second.",
    ),
    Alert(
        "WaybillLogLinesDropped",
        "sum by (namespace) (increase(waybill_log_lines_dropped_total{$scope}[15m])) > 0",
        "0m",
        "warning",
        "Log lines are lost: the standard output of a pod is blocked, closed or too slow.",
    ),
    Alert(
        "WaybillSpansLost",
        'sum by (namespace, outcome) (increase(waybill_spans_total{$scope, outcome!="exported"}[15m])) > 100',
        "5m",
        "warning",
        "More than 100 spans are {{ $labels.outcome }}: the collector is too slow, does not answer, or rejects them.",
    ),
)


def prometheus_rules() -> str:
    """Build the recording rules and the alert rules for Prometheus."""
    return to_yaml({"waybill-recordings": recording_rules(RECORDINGS), "waybill": alert_rules(METRICS)})
