"""Process settings: one frozen struct, loaded from the environment at startup.

Each field is the variable `WAYBILL_<FIELD>`. Its name ends with its unit. Platforms, sources and rules are configured
in waybill.yaml instead (`service.config`).
"""

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, structs

from service.errors import ConfigError
from service.outbound_settings import OutboundSettings
from service.secrets import SecretRef

PREFIX = "WAYBILL_"

FILE_SETTINGS = frozenset(
    {"redis_url", "redis_username", "redis_password", "redis_sentinel_password", "outbound_proxy_url"}
)
"""Settings that can be in a file instead: `WAYBILL_<FIELD>_FILE` is its path."""

CALLER_NAMES = frozenset({"WAYBILL_ADMIN_URL", "WAYBILL_ADMIN_TOKEN", "WAYBILL_ADMIN_TOKEN_FILE"})
"""Variables of commands that call the admin API. Processes ignore them."""

Durability = Literal["fsync", "replica", "declared"]
EmptyStore = Literal["initialize", "reject"]


class Settings(OutboundSettings, frozen=True, kw_only=True):
    """All settings of a process."""

    # addresses
    redis_url: Annotated[
        str,
        Meta(
            description="URL of Valkey or Redis: redis://, rediss:// (TLS) or unix://, an optional database number; "
            "for a cluster also several servers, such as redis://one:6379,two:6379; percent-encode user and password"
        ),
    ] = "redis://127.0.0.1:6379/0"
    redis_username: Annotated[str, Meta(description="user of the store, if the URL has none; empty: none")] = ""
    redis_password: Annotated[str, Meta(description="password of the store, if the URL has none; empty: none")] = ""
    redis_sentinel: Annotated[
        str, Meta(description="host:port of each sentinel, separated by commas; empty: connect to WAYBILL_REDIS_URL")
    ] = ""
    redis_sentinel_primary: Annotated[str, Meta(description="name of the primary in the sentinels' configuration")] = (
        "mymaster"
    )
    redis_sentinel_password: Annotated[str, Meta(description="password of the sentinels; empty: none")] = ""
    redis_tls_ca_file: Annotated[
        str, Meta(description="PEM file of the CA for rediss://; empty: the system's certificates")
    ] = ""
    config: Annotated[str, Meta(description="path of waybill.yaml, or of a folder of such files")] = "waybill.yaml"
    host: Annotated[str, Meta(description="IP address of the ports below; `::` also has IPv4, if possible")] = "0.0.0.0"  # noqa: S104 - all interfaces of the pod
    port: Annotated[int, Meta(ge=0, le=65535, description="port for webhooks")] = 8080
    admin_port: Annotated[
        int, Meta(ge=0, le=65535, description="port for the admin API, the console, metrics and health checks")
    ] = 8081

    console: Annotated[bool, Meta(description="serve the console at / of the admin port")] = True

    # durability
    durability: Annotated[
        Durability,
        Meta(description="what a 202 survives: fsync (crash of the store), replica (loss of its disk), declared"),
    ] = "fsync"
    replicas_confirming_min: Annotated[
        int, Meta(ge=1, le=8, description="with durability replica: replicas that must have an event on disk")
    ] = 1
    declared_loss_window_seconds: Annotated[
        float,
        Meta(
            ge=0,
            description="with durability declared: time of writes that the managed server may lose; shown by /readyz",
        ),
    ] = 1.0

    # installation
    installation_id: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9./_-]{0,100}\Z",
            description="id of this installation; a store of another id is not used; empty: the id in the store",
        ),
    ] = ""
    empty_store: Annotated[
        EmptyStore,
        Meta(
            description="start on a store without data of an installation: initialize, or reject until it is accepted"
        ),
    ] = "initialize"

    # store
    store_connections_max: Annotated[int, Meta(ge=2, le=10_000, description="connections to the store per process")] = (
        32
    )
    store_connect_timeout_seconds: Annotated[
        float, Meta(ge=0.01, description="timeout for opening a connection to the store")
    ] = 2.0
    store_timeout_seconds: Annotated[float, Meta(ge=0.01, description="timeout for one reply of the store")] = 5.0
    store_batch_max: Annotated[int, Meta(ge=1, le=1_000, description="items per batched call to the store")] = 64
    store_batches_in_flight_max: Annotated[
        int, Meta(ge=1, le=16, description="concurrent batched calls of one kind")
    ] = 4
    backlog_events_max: Annotated[
        int, Meta(ge=1, description="pending events from which the service answers 503; each shard has an equal part")
    ] = 2_000_000
    store_memory_percent_max: Annotated[
        int, Meta(ge=1, le=100, description="percentage of the store's maxmemory from which the service answers 503")
    ] = 80
    key_prefix: Annotated[
        str,
        Meta(pattern=r"^[a-z0-9:_-]{1,32}\Z", description="prefix of Waybill's keys in the store, inside their braces"),
    ] = "wb:"
    shards: Annotated[
        int, Meta(ge=1, le=32, description="parts of the stored data; fixed at the first start; limits the primaries")
    ] = 16

    # service
    body_bytes_max: Annotated[
        int, Meta(ge=1, description="largest body of a delivery, after decompression; larger: 413")
    ] = 1_048_576
    body_timeout_seconds: Annotated[float, Meta(gt=0, description="timeout for receiving a body; later: 408")] = 10.0
    delivery_events_max: Annotated[int, Meta(ge=1, le=10_000, description="events in one delivery; more: 422")] = 1_000
    body_depth_max: Annotated[int, Meta(ge=1, le=500, description="deepest nesting of a JSON body")] = 64
    ingest_timeout_seconds: Annotated[float, Meta(gt=0, description="timeout for storing a delivery; later: 503")] = 8.0
    requests_in_flight_max: Annotated[
        int, Meta(ge=1, description="verified deliveries that wait for the store; more: 503")
    ] = 2_000
    in_flight_body_bytes_max: Annotated[
        int, Meta(ge=1, description="total size of all bodies in memory; at the limit, the oldest incomplete body: 503")
    ] = 134_217_728
    connections_max: Annotated[
        int, Meta(ge=1, description="connections per port; for one more, the one that waits the longest is closed")
    ] = 10_000
    header_fields_max: Annotated[int, Meta(ge=8, description="header fields of a request; more: 431")] = 100
    header_bytes_max: Annotated[int, Meta(ge=1_024, description="size of the request line and headers; more: 431")] = (
        16_384
    )
    trusted_proxies: Annotated[
        str,
        Meta(description="proxies whose X-Forwarded-For is read: IP addresses or networks, separated by commas"),
    ] = ""
    address_rejections_per_second_max: Annotated[
        float,
        Meta(
            ge=0, description="rejected deliveries per client, source and second; more are not quarantined; 0: no limit"
        ),
    ] = 200.0
    source_deliveries_per_second_max: Annotated[
        float,
        Meta(ge=0, description="verified deliveries per source, second and process; more: 429; 0: no limit"),
    ] = 0.0
    quarantine_deliveries_max: Annotated[
        int, Meta(ge=0, description="quarantined deliveries per source; more replace the oldest; 0: no quarantine")
    ] = 5_000
    quarantine_bytes_max: Annotated[
        int, Meta(ge=0, description="total size of quarantined deliveries per source; more replace the oldest")
    ] = 33_554_432
    quarantine_per_minute_max: Annotated[
        float, Meta(gt=0, description="deliveries quarantined per source, minute and process; more are not stored")
    ] = 600.0
    retry_after_seconds: Annotated[int, Meta(ge=1, description="Retry-After of 503 responses")] = 5
    shutdown_timeout_seconds: Annotated[
        float, Meta(gt=0, description="timeout for running requests at shutdown of the service")
    ] = 20.0

    # workers
    concurrency: Annotated[int, Meta(ge=1, le=10_000, description="jobs that one worker runs at once")] = 100
    worker_shards: Annotated[
        str,
        Meta(pattern=r"^([0-7]{2}(,[0-7]{2})*)?\Z", description="shards of this worker, such as 00,01; empty: all"),
    ] = ""
    lease_seconds: Annotated[
        float,
        Meta(
            ge=0.5,
            description="duration of a job's lease, renewed every third of it; after a crash, jobs wait this long",
        ),
    ] = 30.0
    attempt_timeout_seconds: Annotated[float, Meta(gt=0, description="timeout for one attempt")] = 60.0
    drain_timeout_seconds: Annotated[
        float,
        Meta(ge=0, description="timeout for running attempts after SIGTERM; later they are released to other workers"),
    ] = 25.0
    wake_timeout_seconds: Annotated[
        float, Meta(gt=0, description="longest sleep of an idle worker before it checks the queue")
    ] = 5.0
    lane_events_max: Annotated[
        int, Meta(ge=1, description="events of one lane that a job processes before it is requeued behind other jobs")
    ] = 50
    attempts_max: Annotated[
        int,
        Meta(ge=1, description="attempts of an event before it is dead-lettered; its age is the limit that counts"),
    ] = 1_000
    job_attempts_max: Annotated[
        int, Meta(ge=1, description="attempts of a plain arq job before it is dead-lettered")
    ] = 12
    crashes_max: Annotated[
        int,
        Meta(
            ge=2,
            description="worker crashes caused by one event before it is dead-lettered; the last attempt runs alone",
        ),
    ] = 3
    event_age_seconds_max: Annotated[
        float, Meta(gt=0, description="age of an event after which a failed attempt is not retried")
    ] = 259_200.0
    backoff_base_seconds: Annotated[
        float, Meta(gt=0, description="longest backoff before the first retry; doubles with each attempt")
    ] = 2.0
    backoff_seconds_max: Annotated[float, Meta(gt=0, description="longest backoff before any retry")] = 3_600.0
    stale_read_wait_seconds: Annotated[
        float,
        Meta(
            ge=0,
            description="longest wait while a platform returns no record, or one that is older than the last decided "
            "state or the event",
        ),
    ] = 60.0
    emit_depth_max: Annotated[
        int, Meta(ge=1, le=100, description="emit actions in a row, from a delivery to a derived event")
    ] = 5
    rulebook_refresh_seconds: Annotated[
        float, Meta(gt=0, description="interval at which a worker checks for a new rulebook version")
    ] = 1.0
    sweep_interval_seconds: Annotated[float, Meta(gt=0, description="interval between sweeps of the store")] = 30.0
    sweep_items_max: Annotated[int, Meta(ge=1, le=10_000, description="items checked by one sweep of all shards")] = 500
    sample_interval_seconds: Annotated[float, Meta(gt=0, description="interval of the log event queue.sampled")] = 15.0

    # retention
    body_retention_hours: Annotated[
        float, Meta(gt=0, description="retention of bodies, after the end of their event")
    ] = 24.0
    decision_retention_days: Annotated[
        float, Meta(gt=0, description="retention of decisions and histories, after the end of their event")
    ] = 3.0
    last_state_retention_days: Annotated[
        float, Meta(ge=0, description="retention of a record's last decided state, after its last event; 0: no limit")
    ] = 90.0
    dead_letter_retention_days: Annotated[float, Meta(ge=0, description="retention of dead letters; 0: no limit")] = (
        90.0
    )
    dedupe_hours: Annotated[float, Meta(gt=0, description="dedupe window of sources without dedupe_hours")] = 72.0
    quarantine_retention_hours: Annotated[float, Meta(gt=0, description="retention of quarantined deliveries")] = 72.0

    @property
    def queue(self) -> str:
        """Key of the arq queue."""
        return f"{self.key_prefix}queue"

    @property
    def shard_events_max(self) -> int:
        """Part of `backlog_events_max` of one shard."""
        return -(-self.backlog_events_max // self.shards)


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Return the settings from all `WAYBILL_*` variables in `environ`.

    Raises:
        ConfigError: A variable is unknown, its file cannot be read, or its value is not valid.
    """
    known = {PREFIX + field.upper(): field for field in Settings.__struct_fields__}
    files = {file_variable(field): field for field in FILE_SETTINGS}
    values: dict[str, Any] = {}
    for name, value in environ.items():
        if not name.startswith(PREFIX) or name in CALLER_NAMES:
            continue
        if name in files:
            if PREFIX + files[name].upper() in environ:
                raise ConfigError(name, f"{name.removesuffix('_FILE')} is set too", "unset one of them")
            values[files[name]] = SecretRef(file=value).resolve(environ, name)
            continue
        if name not in known:
            near = difflib.get_close_matches(name, [*known, *files], 1)
            raise ConfigError(name, "unknown setting", f"did you mean {near[0]}?" if near else "remove it")
        values[known[name]] = value
    for field, value in values.items():
        try:
            msgspec.convert({field: value}, Settings, strict=False)
        except msgspec.ValidationError as error:
            reason = str(error).split(" - at ")[0]
            raise ConfigError(PREFIX + field.upper(), reason, describe_setting(field)) from None
    return msgspec.convert(values, Settings, strict=False)


def file_variable(field: str) -> str:
    """Return the variable with the path of a file that holds the setting."""
    return f"{PREFIX}{field.upper()}_FILE"


def describe_setting(field: str) -> str:
    """Return the description of a setting and its default, in one line."""
    info = next(item for item in structs.fields(Settings) if item.name == field)
    meta = next(item for item in info.type.__metadata__ if isinstance(item, Meta))
    return f"{meta.description} (default {info.default!r})"
