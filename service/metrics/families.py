"""Every metric there is. A row here is what README, alerts and dashboards may name; each says where it is counted.

Label values are few by what they are: configured names, our own words, rule ids. Ids of events and of records never
are labels: the log has those.
"""

from service.metrics.instruments import Counter, Gauge, Histogram, Instrument

FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds in seconds for what should take milliseconds."""

SLOW = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0)
"""Bounds in seconds for what others take part in, or waits for its turn."""

# the ingress: counted with the line delivery.received
DELIVERIES = Counter(
    "waybill_deliveries", "Deliveries by answer; reason is the refusal's code.", ("source", "status", "reason")
)
DELIVERY_ACK_SECONDS = Histogram(
    "waybill_delivery_ack_seconds", "From a delivery's first byte to its 202.", ("source",), FAST
)
QUARANTINED = Counter(
    "waybill_quarantined", "Refused deliveries put aside: kept, dropped to make room, or failed.", ("source", "outcome")
)
ADMIN_DENIED = Counter(
    "waybill_admin_denied", "Calls of the admin API without a known token, or beyond its role.", ("reason",)
)

# the workers: counted with the lines attempt.finished, record.fetched and action.finished
ATTEMPTS = Counter("waybill_attempts", "Attempts by what became of them.", ("source", "outcome"))
ATTEMPT_ERRORS = Counter("waybill_attempt_errors", "Attempts that failed, by why.", ("source", "error_kind"))
ATTEMPT_SECONDS = Histogram("waybill_attempt_seconds", "How long an attempt took.", ("source",), SLOW)
QUEUE_WAIT_SECONDS = Histogram("waybill_queue_wait_seconds", "From when a job was due until it ran.", (), SLOW)
END_TO_END_SECONDS = Histogram("waybill_end_to_end_seconds", "From an event's receipt to its end.", ("source",), SLOW)
EVENTS_DEAD_LETTERED = Counter(
    "waybill_events_dead_lettered", "Events that became dead letters.", ("source", "error_kind")
)
FETCHES = Counter(
    "waybill_fetches", "Questions to platforms by their answer.", ("platform", "operation", "outcome", "error_kind")
)
FETCH_SECONDS = Histogram("waybill_fetch_seconds", "How long a platform took to answer.", ("platform",), SLOW)
EFFECTS = Counter("waybill_effects", "Effects that were run.", ("rule_id", "action_type", "outcome", "error_kind"))
EFFECT_SECONDS = Histogram("waybill_effect_seconds", "How long an effect took.", ("action_type",), SLOW)
POLLS = Counter("waybill_polls", "Passes over a platform's list.", ("source", "outcome"))
POLL_CHANGES = Counter("waybill_poll_changes", "Changes that polls took in.", ("source",))
POLL_MISSES = Counter("waybill_poll_misses", "Changes that no webhook had told of.", ("source",))
LEASES_LOST = Counter("waybill_leases_lost", "Leases that ended while their job still ran here.")
JOBS_DEAD_LETTERED = Counter("waybill_jobs_dead_lettered", "Plain arq jobs that can never run.")
RULEBOOK = Gauge("waybill_rulebook_rules", "Rules of the rulebook this worker decides by.", ("version",))
RULEBOOKS_REJECTED = Counter("waybill_rulebooks_rejected", "Published rulebooks that this worker could not load.")

# both pods: counted with each call to the store
STORE_SECONDS = Histogram("waybill_store_call_seconds", "How long the store took for one call.", ("call",), FAST)
STORE_ERRORS = Counter("waybill_store_errors", "Calls that the store did not answer.", ("call", "error_kind"))

# both pods: looked at when scraped, the same in all pods (take the maximum)
STORE_UP = Gauge("waybill_store_up", "1 if the store answered when this page was made.")
QUEUE_JOBS = Gauge("waybill_queue_jobs", "Jobs in the queue: due, deferred, running.", ("state",))
EVENTS_PENDING = Gauge("waybill_events_pending", "Events taken in and not ended.")
OLDEST_EVENT_SECONDS = Gauge("waybill_oldest_event_age_seconds", "Age of the oldest event that waits.")
DEAD_LETTERS = Gauge("waybill_dead_letters", "Dead letters that wait for a person.")
WORKERS_ALIVE = Gauge("waybill_workers_alive", "Workers whose heartbeat is fresh.")
STORE_MEMORY_BYTES = Gauge("waybill_store_memory_bytes", "Memory the store uses.")
STORE_MEMORY_RATIO = Gauge("waybill_store_memory_ratio", "Part of the store's maxmemory in use, 0 without a limit.")

BUILD_INFO = Gauge("waybill_build_info", "1, with the version that runs.", ("component", "version"))

FAMILIES: tuple[Instrument, ...] = (
    DELIVERIES, DELIVERY_ACK_SECONDS, ATTEMPTS, ATTEMPT_ERRORS, ATTEMPT_SECONDS, QUEUE_WAIT_SECONDS, END_TO_END_SECONDS,
    EVENTS_DEAD_LETTERED, FETCHES, FETCH_SECONDS, EFFECTS, EFFECT_SECONDS, POLLS,
    POLL_CHANGES, POLL_MISSES, QUARANTINED, ADMIN_DENIED, LEASES_LOST, JOBS_DEAD_LETTERED, RULEBOOK,
    RULEBOOKS_REJECTED, STORE_SECONDS, STORE_ERRORS, STORE_UP, QUEUE_JOBS, EVENTS_PENDING, OLDEST_EVENT_SECONDS,
    DEAD_LETTERS, WORKERS_ALIVE, STORE_MEMORY_BYTES, STORE_MEMORY_RATIO, BUILD_INFO,
)  # fmt: skip
