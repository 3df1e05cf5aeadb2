"""Status of an installation: sources, platforms, stores, workers and polls. Read-only."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from service.config import SourceConfig
from service.ingestion.sources import Source
from service.management.event_filter import format_timestamp
from service.management.installation import InstallationOperations
from service.management.stores import NamedStores, name_stores, read_shards
from service.store import QueueStats, Shards
from service.store.connection.installation import InstallationRecord
from service.store.management.events import Index
from service.store.management.memory_usage import KeyUsage
from service.store.management.status import INDEXES, SweepState


class SourceView(Struct, frozen=True, kw_only=True):
    """Configured source, with the signature scheme, the number of active secrets and the format of its deliveries.

    A source that is only polled has neither `path` nor `verify`. `poll_seconds` is the interval of its poll,
    `dedupe_hours` the dedupe window, `quarantined` the number of quarantined deliveries.
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
    """Configured platform account, its record kinds and its sources.

    `circuit_open_seconds` is the time until the circuit breaker allows the next call.
    """

    account: str
    kind: str
    record_kinds: Sequence[str]
    sources: Sequence[str]
    circuit_open_seconds: float


class WorkerView(Struct, frozen=True, kw_only=True):
    """Worker by its last heartbeat: the number of running jobs and the expiry of the heartbeat, by the store's clock.

    `clock_difference_seconds` is the store's clock minus the clock of the worker.
    """

    name: str
    store: str
    alive: bool
    running: int
    clock_difference_seconds: float
    expires_at: str


class StoreView(Struct, frozen=True, kw_only=True):
    """Store with installation, durability, queue statistics, last sweep and, on request, memory usage.

    `installation` is None before the first start of a process. `events` counts open, dead and ended events.
    `loss_window_seconds` is set if durability is `declared`. The numbers are sums of all shards.
    """

    name: str
    server: str
    installation: InstallationRecord | None
    durability: str
    loss_window_seconds: float | None
    shards: int
    queue: QueueStats
    events: Mapping[Index, int]
    sweep: SweepState
    memory: Sequence[KeyUsage] | None


class PollView(Struct, frozen=True, kw_only=True):
    """Poll of a source: completed passes, counts of the pass in progress, start of the next pass."""

    source: str
    store: str
    polling: bool
    passes: int
    records_listed: int
    changed: int
    missed: int
    due_at: str | None


class StatusOperations(InstallationOperations):
    """Status of the installation. Read-only."""

    async def list_sources(self) -> list[SourceView]:
        """List the sources of waybill.yaml.

        Raises:
            StoreUnavailable: A store does not answer.
        """
        configs, sources = self.installation.config().sources, self.installation.sources()
        return [await _source(self.stores, name, config, sources.get(name)) for name, config in configs.items()]

    async def list_platforms(self) -> list[PlatformView]:
        """List the platform accounts of waybill.yaml.

        Raises:
            StoreUnavailable: A store does not answer.
        """
        config = self.installation.config()
        open_seconds = await self.stores[0].store.limits.open_circuits()  # the first store holds the state of accounts
        return [
            PlatformView(
                account=account,
                kind=str(type(platform).__struct_config__.tag),
                record_kinds=sorted(platform.known_kinds()),
                sources=[name for name, source in config.sources.items() if source.platform == account],
                circuit_open_seconds=open_seconds.get(account, 0.0),
            )
            for account, platform in config.platforms.items()
        ]

    async def list_workers(self) -> list[WorkerView]:
        """List the workers that have a heartbeat. A worker that stopped in order has none.

        Raises:
            StoreUnavailable: A store does not answer.
        """
        found: dict[str, WorkerView] = {}
        heartbeats = await read_shards(self.stores, lambda named: named.inspector.heartbeats())
        for named, beats in zip(self.stores, heartbeats, strict=True):
            for heartbeat in beats:
                before = found.get(heartbeat.worker)
                found[heartbeat.worker] = WorkerView(
                    name=heartbeat.worker,
                    store=named.name,
                    alive=heartbeat.alive or (before is not None and before.alive),
                    running=heartbeat.running + (before.running if before else 0),
                    clock_difference_seconds=heartbeat.clock_difference_seconds,
                    expires_at=format_timestamp(heartbeat.until * 1000),
                )
        return sorted(found.values(), key=lambda worker: worker.name)

    async def list_stores(self, *, memory: bool) -> list[StoreView]:
        """List the store, with the sums of its shards. `memory` scans all keys, which is slow on a large store.

        Raises:
            StoreUnavailable: A store does not answer.
        """
        return [await _store(self.installation.open_store(), memory=memory)]

    async def list_polls(self) -> list[PollView]:
        """List the polls that have started at least once.

        Raises:
            StoreUnavailable: A store does not answer.
        """
        sources = list(self.installation.config().sources)
        return [
            PollView(
                source=state.source,
                store=named.name,
                polling=state.polling,
                passes=state.passes,
                records_listed=state.records_listed,
                changed=state.changed,
                missed=state.missed,
                due_at=format_timestamp(state.due_ms) if state.due_ms else None,
            )
            for named in self.stores
            for state in await named.inspector.polls(sources)
        ]


async def _source(stores: NamedStores, name: str, config: SourceConfig, source: Source | None) -> SourceView:
    counts = [(await named.store.quarantine.count(name))[0] for named in stores]
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
        quarantined=sum(counts),
    )


async def _store(shards: Shards, *, memory: bool) -> StoreView:
    settings, named = shards.settings, name_stores(shards.stores)
    counts = await read_shards(named, lambda each: each.inspector.counts())
    records = await read_shards(named, lambda each: each.store.installation.record())
    sweeps = await read_shards(named, lambda each: each.inspector.sweep())
    return StoreView(
        name=named[0].name,
        server=await named[0].inspector.server(),
        # A lost shard, if there is one: it has to be accepted.
        installation=next((record for record in records if record is None or record.lost), records[0]),
        durability=settings.durability,
        loss_window_seconds=settings.declared_loss_window_seconds if settings.durability == "declared" else None,
        shards=len(named),
        queue=await shards.sample(),
        events={index: sum(each[index] for each in counts) for index in INDEXES},
        # The shard that was swept last shows whether a worker sweeps.
        sweep=max(sweeps, key=lambda sweep: sweep.clock_ms),
        memory=await shards.memory_by_kind() if memory else None,
    )
