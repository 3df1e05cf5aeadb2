"""What an installation consists of and how it fares: sources, platforms, stores, workers, polls. Only looked at."""

import time
from collections.abc import Mapping, Sequence

from msgspec import Struct

from service.config import PlatformConfig, SourceConfig
from service.ingestion.sources import Source
from service.management.event_filter import format_timestamp
from service.management.stores import NamedStore, NamedStores
from service.store import QueueStats
from service.store.management.events import Index
from service.store.management.memory_usage import KeyUsage
from service.store.management.status import SweepState


class SourceView(Struct, frozen=True, kw_only=True):
    """A configured source. `verify` is its scheme, `secrets` how many are active, `envelope` how it is read.

    One that is only polled has no `path` and no `verify`; `poll_seconds` is how often it is.
    `dedupe_hours` is how long a repeated delivery is known as one; `quarantined` how many refused ones are kept.
    """

    name: str
    platform: str
    path: str | None
    verify: str | None
    secrets: int
    poll_seconds: float | None
    envelope: str
    failure_status: int | None
    dedupe_hours: float | None
    identical_bodies: str | None
    content_types: Sequence[str]
    quarantined: int


class PlatformView(Struct, frozen=True, kw_only=True):
    """A configured platform account, what it can be asked for, who tells of it.

    `circuit_open_seconds` is how long nobody asks it since it failed.
    """

    account: str
    kind: str
    record_kinds: Sequence[str]
    sources: Sequence[str]
    circuit_open_seconds: float


class WorkerView(Struct, frozen=True, kw_only=True):
    """A worker by its heartbeat: the jobs it ran at the last one, and until when it is believed to live."""

    name: str
    store: str
    alive: bool
    running: int
    expires_at: str


class StoreView(Struct, frozen=True, kw_only=True):
    """One store: what a 202 survives there, what waits, how the sweep stands, and what takes its memory, if asked.

    `events` counts those that are open, dead, ended; `loss_window_seconds` is stated where durability is `declared`.
    """

    name: str
    server: str
    durability: str
    loss_window_seconds: float | None
    queue: QueueStats
    events: Mapping[Index, int]
    sweep: SweepState
    memory: Sequence[KeyUsage] | None


class PollView(Struct, frozen=True, kw_only=True):
    """A source's poll: passes done, what the one under way counted so far, when the next one is due."""

    source: str
    store: str
    polling: bool
    passes: int
    records_listed: int
    changed: int
    missed: int
    due_at: str | None


async def list_sources(
    places: NamedStores, sources: Mapping[str, Source], configs: Mapping[str, SourceConfig]
) -> list[SourceView]:
    """List the sources of waybill.yaml.

    Raises:
        StoreUnavailable: a store does not answer.
    """
    return [await _source(places, name, config, sources.get(name)) for name, config in configs.items()]


async def list_platforms(
    places: NamedStores, configs: Mapping[str, PlatformConfig], sources: Mapping[str, SourceConfig]
) -> list[PlatformView]:
    """List the platform accounts of waybill.yaml.

    Raises:
        StoreUnavailable: a store does not answer.
    """
    resting = await places[0].store.limits.open_circuits()  # what workers share of an account lies on the first store
    return [
        PlatformView(
            account=account,
            kind=str(type(config).__struct_config__.tag),
            record_kinds=sorted(config.known_kinds()),
            sources=[name for name, source in sources.items() if source.platform == account],
            circuit_open_seconds=resting.get(account, 0.0),
        )
        for account, config in configs.items()
    ]


async def list_workers(places: NamedStores) -> list[WorkerView]:
    """List the workers that beat; those that left in good order are not there any more.

    Raises:
        StoreUnavailable: a store does not answer.
    """
    now = time.time()
    return [
        WorkerView(
            name=beat.worker,
            store=place.name,
            alive=beat.until >= now,
            running=beat.running,
            expires_at=format_timestamp(beat.until * 1000),
        )
        for place in places
        for beat in await place.overview.heartbeats()
    ]


async def list_stores(places: NamedStores, *, weigh: bool) -> list[StoreView]:
    """Tell how each store fares; `weigh` walks through all its keys, which takes a while where there are many.

    Raises:
        StoreUnavailable: a store does not answer.
    """
    return [await _store(place, weigh=weigh) for place in places]


async def list_polls(places: NamedStores, sources: Mapping[str, SourceConfig]) -> list[PollView]:
    """Tell how the polls stand; those that never began are left out.

    Raises:
        StoreUnavailable: a store does not answer.
    """
    return [
        PollView(
            source=state.source,
            store=place.name,
            polling=state.polling,
            passes=state.passes,
            records_listed=state.records_listed,
            changed=state.changed,
            missed=state.missed,
            due_at=format_timestamp(state.due_ms) if state.due_ms else None,
        )
        for place in places
        for state in await place.overview.polls(list(sources))
    ]


async def _source(places: NamedStores, name: str, config: SourceConfig, source: Source | None) -> SourceView:
    kept = [(await place.store.quarantine.count(name))[0] for place in places]
    identical = "distinct" if source and source.distinct else "same"
    return SourceView(
        name=name,
        platform=config.platform,
        path=f"/webhooks/{name}" if source else None,
        verify=str(type(config.verify).__struct_config__.tag) if config.verify else None,
        secrets=len(config.verify.refs) if config.verify else 0,
        poll_seconds=config.poll.every_seconds if config.poll else None,
        envelope=str(type(config.envelope).__struct_config__.tag),
        failure_status=source and source.failure_status,
        dedupe_hours=source and source.window_ms / 3_600_000,
        identical_bodies=source and identical,
        content_types=sorted(source.content_types) if source else (),
        quarantined=sum(kept),
    )


async def _store(place: NamedStore, *, weigh: bool) -> StoreView:
    settings = place.store.settings
    return StoreView(
        name=place.name,
        server=await place.overview.server(),
        durability=settings.durability,
        loss_window_seconds=settings.declared_loss_window_seconds if settings.durability == "declared" else None,
        queue=await place.store.sample(),
        events=await place.overview.counts(),
        sweep=await place.overview.sweep(),
        memory=await place.store.memory_usage.by_kind() if weigh else None,
    )
