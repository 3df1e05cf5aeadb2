"""All metrics. Dashboards and alerts use these names only.

Labels have few values: configured names, stable codes, rule ids. Ids of events and records are in the log, never in
labels.
"""

from service.metrics.instruments import Counter, Gauge, Histogram, Instrument

FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bucket bounds in seconds for durations of milliseconds."""

SLOW = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0)
"""Bucket bounds in seconds for queue waits and calls to other systems."""

# service: counted with the line delivery.received
DELIVERIES = Counter(
    "waybill_deliveries",
    "Deliveries by status of the response; reason is the error code.",
    ("source", "status", "reason"),
)
DELIVERY_ACK_SECONDS = Histogram(
    "waybill_delivery_ack_seconds", "Time from the first byte of a delivery to its 202.", ("source",), FAST
)
DIFFERING_DUPLICATES = Counter(
    "waybill_differing_duplicates",
    "Duplicates whose content differs from that of the event that was processed.",
    ("source",),
)
QUARANTINED = Counter(
    "waybill_quarantined",
    "Rejected deliveries in quarantine: kept, dropped at a limit, or failed.",
    ("source", "outcome"),
)
CONNECTIONS_CLOSED = Counter(
    "waybill_connections_closed",
    "Connections closed: too many (waiting for the longest time, or rejected as new), or by the code of invalid HTTP.",
    ("reason",),
)
ADMIN_DENIED = Counter(
    "waybill_admin_denied", "Denied calls of the admin API: missing token or insufficient role.", ("reason",)
)

# workers: counted with the lines attempt.finished, record.fetched and action.finished
ATTEMPTS = Counter("waybill_attempts", "Attempts by outcome.", ("source", "outcome"))
ATTEMPT_ERRORS = Counter("waybill_attempt_errors", "Failed attempts by error.", ("source", "error_kind"))
ATTEMPT_SECONDS = Histogram("waybill_attempt_seconds", "Duration of an attempt.", ("source",), SLOW)
QUEUE_WAIT_SECONDS = Histogram("waybill_queue_wait_seconds", "Time from due to start of a job.", (), SLOW)
END_TO_END_SECONDS = Histogram("waybill_end_to_end_seconds", "Time from receipt to end of an event.", ("source",), SLOW)
EVENTS_DEAD_LETTERED = Counter(
    "waybill_events_dead_lettered", "Events that became dead letters.", ("source", "error_kind")
)
FETCHES = Counter(
    "waybill_fetches", "Calls to platforms by outcome.", ("platform", "operation", "outcome", "error_kind")
)
FETCH_SECONDS = Histogram("waybill_fetch_seconds", "Response time of a platform.", ("platform",), SLOW)
RECORDS_EXPECTED = Counter(
    "waybill_records_expected",
    "Records of created and updated events: found or missing.",
    ("platform", "record_kind", "result"),
)
LOOKUPS = Counter("waybill_lookups", "Look-ups of records by outcome: ok, missing, error.", ("platform", "outcome"))
LOOKUP_SECONDS = Histogram(
    "waybill_lookup_seconds", "Duration of a look-up, including waits for a limit.", ("platform",), SLOW
)
EFFECTS = Counter(
    "waybill_effects",
    "Runs of effects by outcome; destination is empty without one of waybill.yaml.",
    ("rule_id", "action_type", "destination", "outcome", "error_kind"),
)
EFFECT_SECONDS = Histogram("waybill_effect_seconds", "Duration of an effect.", ("action_type", "destination"), SLOW)
RULE_ERRORS = Counter(
    "waybill_rule_errors",
    "Rules that could not be evaluated, or whose actions could not be rendered. Each makes a dead letter.",
    ("rule_id",),
)
RULES_UNKNOWN = Counter(
    "waybill_rules_unknown", "Rules with result unknown: a value was missing or had another type.", ("rule_id",)
)
POLLS = Counter("waybill_polls", "Passes over the list of a platform.", ("source", "outcome"))
POLL_CHANGES = Counter("waybill_poll_changes", "Changes that polls ingested.", ("source",))
POLL_MISSES = Counter("waybill_poll_misses", "Changes that no delivery reported.", ("source",))
LEASES_LOST = Counter("waybill_leases_lost", "Leases that expired while their job was running.")
LATE_RESULTS = Counter(
    "waybill_late_results",
    "Results of effects that arrived after their lease: settled, superseded or expired.",
    ("outcome",),
)
JOBS_DEAD_LETTERED = Counter("waybill_jobs_dead_lettered", "Plain arq jobs that cannot run.")
RULEBOOK = Gauge("waybill_rulebook_rules", "Rules in the active rulebook of this worker.", ("version",))
RULEBOOKS_REJECTED = Counter("waybill_rulebooks_rejected", "Published rulebooks that this worker could not load.")

# both: set when waybill.yaml is read
CONFIG_VALID = Gauge(
    "waybill_config_valid", "1 if the current waybill.yaml is active, 0 if it has mistakes and an earlier one is.", ()
)
CONFIG_RELOADS = Counter("waybill_config_reloads", "Changes of waybill.yaml: activated or rejected.", ("outcome",))

# both: counted with each call to the store
STORE_SECONDS = Histogram("waybill_store_call_seconds", "Duration of a call to the store.", ("call",), FAST)
STORE_ERRORS = Counter("waybill_store_errors", "Failed calls to the store.", ("call", "error_kind"))

# both: counted with the line background_task.failed
TASK_FAILURES = Counter(
    "waybill_background_task_failures",
    "Steps of background tasks that failed by the store, such as leases, heartbeat and sweep.",
    ("task", "error_kind"),
)

# both: measured ten times a second
EVENT_LOOP_LAG_SECONDS = Histogram(
    "waybill_event_loop_lag_seconds", "Delay of a timer, caused by work that holds the event loop.", (), FAST
)

# both: checked twice a second
FILES_EXHAUSTED = Counter(
    "waybill_files_exhausted", "Checks that could not open a file: the process or the system has no descriptor left."
)

# both: measured every 15 s
CLOCK_DIFFERENCE_SECONDS = Gauge(
    "waybill_clock_difference_seconds", "Clock of the store minus clock of this process; of several stores the largest."
)

# both: counted with the line log.lines_dropped
LOG_LINES_DROPPED = Counter(
    "waybill_log_lines_dropped", "Log lines that were lost: the output is blocked or closed, and the buffer is full."
)

# both: counted if WAYBILL_TRACES is set
SPANS = Counter(
    "waybill_spans", "Ended spans: exported, failed (by the collector), dropped (full queue).", ("outcome",)
)

# both: read from the stores at each scrape; pods report the same values of a shard, so use the maximum of each shard
STORE_UP = Gauge("waybill_store_up", "1 if the store answered this scrape.", ("shard",))
QUEUE_JOBS = Gauge("waybill_queue_jobs", "Jobs in the queue: due, deferred, running.", ("shard", "state"))
EVENTS_PENDING = Gauge("waybill_events_pending", "Events that have not ended.", ("shard",))
PARKED_JOBS = Gauge("waybill_parked_jobs", "Jobs that wait for an open circuit or a limit of an account.", ("shard",))
PARKED_SECONDS = Gauge("waybill_parked_age_seconds", "Age of the job that is parked for longest.", ("shard",))
EVENTS_PENDING_MAX = Gauge(
    "waybill_events_pending_max", "Pending events of a shard from which deliveries are answered 503."
)
OLDEST_DUE_SECONDS = Gauge(
    "waybill_oldest_due_age_seconds", "Time since the longest waiting due job became due.", ("shard",)
)
OLDEST_EVENT_SECONDS = Gauge("waybill_oldest_event_age_seconds", "Age of the oldest pending event.", ("shard",))
DEAD_LETTERS = Gauge("waybill_dead_letters", "Dead letters.", ("shard",))
WORKERS_ALIVE = Gauge("waybill_workers_alive", "Workers with a current heartbeat.", ("shard",))
STORE_MEMORY_BYTES = Gauge(
    "waybill_store_memory_bytes", "Memory used by a server of the store; shard is its first one.", ("shard",)
)
DAMAGED_KEYS = Gauge(
    "waybill_store_damaged_keys", "Keys of the store that another program damaged; they are set aside.", ("shard",)
)
STORE_MEMORY_RATIO = Gauge(
    "waybill_store_memory_ratio",
    "Ratio of a server's maxmemory in use, 0 without a limit; shard is its first one.",
    ("shard",),
)

# service: read from the first store at each scrape
CIRCUIT_OPEN = Gauge(
    "waybill_circuit_open",
    "1 while the circuit of a platform account or of a destination is open, 0 after recent failures.",
    ("platform", "destination"),
)

BUILD_INFO = Gauge("waybill_build_info", "1, with the running version.", ("component", "version"))

FAMILIES: tuple[Instrument, ...] = tuple(
    each for each in list(globals().values()) if isinstance(each, Counter | Gauge | Histogram)
)
