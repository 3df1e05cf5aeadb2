"""Process settings: one frozen struct, read once from the environment by the process's entry point.

Each field is the variable `WAYBILL_<FIELD>`; its unit ends its name, its meaning and default stand beside it. What an
operator thinks about (platforms, sources, rules) is in waybill.yaml instead, see `service.config`.
"""

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from service.errors import ConfigError

PREFIX = "WAYBILL_"

CALLER_NAMES = frozenset({"WAYBILL_ADMIN_URL", "WAYBILL_ADMIN_TOKEN", "WAYBILL_ADMIN_TOKEN_FILE"})
"""What a person's commands read to reach the admin API; no settings of a process, which leaves them alone."""

Durability = Literal["fsync", "replica", "declared"]


class Settings(Struct, frozen=True, kw_only=True):
    """Every address and limit of a process. Times in the unit the name ends in, sizes in bytes."""

    # where things are
    redis_url: Annotated[
        str, Meta(description="Valkey or Redis: redis://, rediss:// or unix:// with an optional database")
    ] = "redis://127.0.0.1:6379/0"
    shard_urls: Annotated[
        str, Meta(description="url,url of all stores, where there are several; redis_url is one of them")
    ] = ""
    redis_sentinel: Annotated[
        str, Meta(description="host:port,host:port of the sentinels; empty: redis_url names the primary")
    ] = ""
    redis_sentinel_primary: Annotated[str, Meta(description="the name the sentinels know the primary by")] = "mymaster"
    redis_sentinel_password: Annotated[
        str, Meta(description="password of the sentinels themselves, if they ask for one")
    ] = ""
    redis_tls_ca_file: Annotated[str, Meta(description="PEM file to trust for rediss://; empty: the system's")] = ""
    config: Annotated[str, Meta(description="path of waybill.yaml")] = "waybill.yaml"
    host: Annotated[str, Meta(description="address the ports below are bound to")] = "0.0.0.0"  # noqa: S104 - a pod serves its network
    port: Annotated[int, Meta(ge=0, le=65535, description="port for senders")] = 8080
    admin_port: Annotated[int, Meta(ge=0, le=65535, description="port for operators; health too")] = 8081

    # the promise
    durability: Annotated[Durability, Meta(description="what a 202 survives: fsync, replica or declared")] = "fsync"
    declared_loss_window_seconds: Annotated[
        float, Meta(ge=0, description="with declared: how much a managed server may lose, in seconds; shown by /readyz")
    ] = 1.0

    # the store
    store_connections_max: Annotated[
        int, Meta(ge=2, le=10_000, description="connections to the store, per process")
    ] = 32
    store_connect_timeout_seconds: Annotated[float, Meta(ge=0.01, description="to open a connection")] = 2.0
    store_timeout_seconds: Annotated[float, Meta(ge=0.01, description="for one answer of the store")] = 5.0
    store_batch_max: Annotated[int, Meta(ge=1, le=1_000, description="items that share one store call")] = 256
    store_batches_in_flight_max: Annotated[
        int, Meta(ge=1, le=16, description="store calls of one kind under way at once")
    ] = 2
    backlog_events_max: Annotated[int, Meta(ge=1, description="events waiting before the ingress answers 503")] = (
        2_000_000
    )
    store_memory_percent_max: Annotated[
        int, Meta(ge=1, le=100, description="of the store's maxmemory before the ingress answers 503")
    ] = 80
    key_prefix: Annotated[str, Meta(pattern=r"^[a-z0-9:_-]{1,32}\Z", description="what our keys begin with")] = "wb:"
    queue: Annotated[str, Meta(pattern=r"^[A-Za-z0-9:_-]{1,64}\Z", description="name of arq's queue")] = "arq:queue"

    # the ingress
    body_bytes_max: Annotated[int, Meta(ge=1, description="largest body, after inflation")] = 1_048_576
    body_timeout_seconds: Annotated[float, Meta(gt=0, description="longest time a body may take to arrive")] = 10.0
    body_depth_max: Annotated[int, Meta(ge=1, le=500, description="deepest nesting of a JSON body")] = 64
    ingest_timeout_seconds: Annotated[float, Meta(gt=0, description="longest wait for the store before 503")] = 8.0
    requests_in_flight_max: Annotated[int, Meta(ge=1, description="requests handled at once before 503")] = 2_000
    in_flight_body_bytes_max: Annotated[int, Meta(ge=1, description="bytes of all bodies held at once before 503")] = (
        134_217_728
    )
    connections_max: Annotated[int, Meta(ge=1, description="connections of one port; more are closed as they come")] = (
        10_000
    )
    header_fields_max: Annotated[int, Meta(ge=8, description="header fields of one request before 431")] = 100
    header_bytes_max: Annotated[int, Meta(ge=1_024, description="bytes of one request's head before 431")] = 16_384
    trusted_proxies: Annotated[
        str,
        Meta(description="addresses or networks, by commas, whose X-Forwarded-For names the sender; empty: nobody's"),
    ] = ""
    address_rejections_per_second_max: Annotated[
        float, Meta(ge=0, description="refused deliveries of one address before it must wait; 0: no limit")
    ] = 200.0
    source_deliveries_per_second_max: Annotated[
        float,
        Meta(ge=0, description="verified deliveries of one source, per process, before it must wait; 0: no limit"),
    ] = 0.0
    quarantine_deliveries_max: Annotated[
        int, Meta(ge=0, description="refused deliveries kept, per source; the oldest make room; 0: none")
    ] = 5_000
    quarantine_bytes_max: Annotated[
        int, Meta(ge=0, description="bytes of refused deliveries kept, per source; the oldest make room")
    ] = 33_554_432
    quarantine_per_minute_max: Annotated[
        float, Meta(gt=0, description="refused deliveries kept in a minute, per source and process")
    ] = 600.0
    retry_after_seconds: Annotated[int, Meta(ge=1, description="what a 503 asks the sender to wait")] = 5
    shutdown_timeout_seconds: Annotated[
        float, Meta(gt=0, description="longest wait for requests under way at shutdown")
    ] = 20.0

    # the worker
    concurrency: Annotated[int, Meta(ge=1, le=10_000, description="jobs one worker runs at once")] = 100
    lease_seconds: Annotated[float, Meta(ge=0.5, description="a lease's life; renewed at a third of it")] = 30.0
    attempt_timeout_seconds: Annotated[float, Meta(gt=0, description="longest time of one attempt")] = 60.0
    drain_timeout_seconds: Annotated[float, Meta(ge=0, description="what SIGTERM leaves for attempts under way")] = 25.0
    wake_timeout_seconds: Annotated[
        float, Meta(gt=0, description="longest wait for a wake-up before looking anyway")
    ] = 5.0
    lane_events_max: Annotated[
        int, Meta(ge=1, description="events of one lane in one run before others get a turn")
    ] = 50
    attempts_max: Annotated[
        int, Meta(ge=1, description="attempts of an event, or of an effect, before a dead letter")
    ] = 12
    crashes_max: Annotated[
        int, Meta(ge=2, description="workers an event may take down, the last one alone, before it is a dead letter")
    ] = 3
    event_age_seconds_max: Annotated[
        float, Meta(gt=0, description="age of an event before its next failure is the last")
    ] = 259_200.0
    backoff_base_seconds: Annotated[
        float, Meta(gt=0, description="upper bound of the first back-off; doubles with each attempt")
    ] = 2.0
    backoff_seconds_max: Annotated[float, Meta(gt=0, description="upper bound of any back-off")] = 3_600.0
    fetch_timeout_seconds: Annotated[float, Meta(gt=0, description="longest time of one fetch")] = 20.0
    fetch_bytes_max: Annotated[int, Meta(ge=1, description="largest answer of a platform")] = 10_485_760
    stale_read_wait_seconds: Annotated[
        float, Meta(ge=0, description="how long a platform may lag behind its event before it is decided on as it is")
    ] = 60.0
    action_timeout_seconds: Annotated[float, Meta(gt=0, description="longest time of one action")] = 20.0
    emit_depth_max: Annotated[int, Meta(ge=1, le=100, description="emit actions between a sender and an event")] = 5
    rulebook_refresh_seconds: Annotated[
        float, Meta(gt=0, description="longest time a worker keeps an old rulebook")
    ] = 1.0
    sweep_interval_seconds: Annotated[float, Meta(gt=0, description="how often a slice of the store is swept")] = 30.0
    sweep_items_max: Annotated[int, Meta(ge=1, le=10_000, description="events and jobs looked at by one sweep")] = 500
    sample_interval_seconds: Annotated[float, Meta(gt=0, description="how often queue.sampled is logged")] = 15.0

    # how long things are kept
    body_retention_hours: Annotated[float, Meta(gt=0, description="bodies of ended events")] = 24.0
    decision_retention_days: Annotated[float, Meta(gt=0, description="decisions and histories of ended events")] = 14.0
    last_state_retention_days: Annotated[
        float, Meta(ge=0, description="last decided states of records that nothing comes for; 0: for ever")
    ] = 400.0
    dead_letter_retention_days: Annotated[float, Meta(ge=0, description="dead letters nobody acts on; 0: for ever")] = (
        90.0
    )
    dedupe_hours: Annotated[float, Meta(gt=0, description="claims, where a source does not say")] = 72.0
    quarantine_retention_hours: Annotated[float, Meta(gt=0, description="refused deliveries")] = 72.0

    # what is said
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="least level that is logged")
    ] = "info"
    log_line_bytes_max: Annotated[int, Meta(ge=512, description="longest log line")] = 4_096


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read every `WAYBILL_*` name of `environ`.

    Raises:
        ConfigError: a name nobody knows, or a value that is not of its field's type or bounds.
    """
    known = {PREFIX + field.upper(): field for field in Settings.__struct_fields__}
    values: dict[str, Any] = {}
    for name, value in environ.items():
        if not name.startswith(PREFIX) or name in CALLER_NAMES:
            continue
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise ConfigError(name, "no such setting", f"did you mean {near[0]}?" if near else "remove it")
        values[known[name]] = value
    for field, value in values.items():
        try:
            msgspec.convert({field: value}, Settings, strict=False)
        except msgspec.ValidationError as error:
            reason = str(error).split(" - at ")[0]
            raise ConfigError(PREFIX + field.upper(), reason, describe_setting(field)) from None
    return msgspec.convert(values, Settings, strict=False)


def describe_setting(field: str) -> str:
    """Say in one line what a setting is and what it is by default."""
    info = next(item for item in msgspec.structs.fields(Settings) if item.name == field)
    meta = next(item for item in info.type.__metadata__ if isinstance(item, Meta))
    return f"{meta.description} (default {info.default!r})"
