"""Durability check: tables of server settings, and real servers."""

import asyncio
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import service.ingress.http.health
import workers.health
from service.dev.embedded_valkey import EmbeddedValkey
from service.errors import StoreNotDurable, StoreUnavailable
from service.settings import Durability, Settings, load_settings
from service.store.connection.client import WAITAOF_TIMEOUT_MS
from service.store.connection.durability import durability_problems, parse_info
from service.store.shards import CHECK_SECONDS_MAX, build_shards, open_shards
from tests.service.store.builders import (
    WINDOW_MS,
    claim_one,
    decision,
    make_event,
    retry_until_stored,
    run_on_server,
    store_on,
)
from tests.service.store.conftest import StartServer
from tests.service.store.test_shards import make_arrival
from tests.waiting import PATIENCE_SECONDS, until

pytestmark = pytest.mark.store

REDIS_7_0 = "/usr/bin/redis-server"
SOUND_INFO = {"redis_version": "7.2.4", "role": "master", "cluster_enabled": "0"}
SOUND_CONFIG = {
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "maxmemory-policy": "noeviction",
    "maxmemory": "1073741824",
}


@pytest.mark.parametrize(
    ("durability", "info", "config", "reason"),
    [
        ("fsync", {"redis_version": "6.2.14"}, {}, "7.0 or later is required"),
        ("declared", {"redis_version": "6.2.14"}, {}, "7.0 or later is required"),
        ("replica", {"redis_version": "7.0.15"}, {}, "7.2 or later is required"),
        ("fsync", {"cluster_enabled": "1"}, {}, None),
        ("fsync", {"cluster_enabled": "1", "role": "slave"}, {}, None),
        ("fsync", {"role": "slave"}, {}, "is a replica"),
        ("declared", {"role": "slave"}, {}, "is a replica"),
        ("fsync", {}, {"appendonly": "no"}, "CONFIG SET appendonly yes"),
        (
            "fsync",
            {},
            {"appendonly": "no", "appendfsync": "everysec"},
            "appendonly is 'no', appendfsync is 'everysec'; run CONFIG SET appendonly yes appendfsync always",
        ),
        ("fsync", {}, {"appendfsync": "everysec"}, "CONFIG SET appendfsync always"),
        ("fsync", {}, {"appendfsync": "no"}, "CONFIG SET appendfsync always"),
        ("replica", {}, {"appendfsync": "everysec"}, "CONFIG SET appendfsync always"),
        ("fsync", {}, {"maxmemory-policy": "allkeys-lru"}, "CONFIG SET maxmemory-policy noeviction"),
        ("fsync", {}, {"maxmemory-policy": "volatile-ttl"}, "CONFIG SET maxmemory-policy noeviction"),
        ("fsync", {}, {"no-appendfsync-on-rewrite": "yes"}, "CONFIG SET no-appendfsync-on-rewrite no"),
        ("replica", {}, {"no-appendfsync-on-rewrite": "yes"}, "CONFIG SET no-appendfsync-on-rewrite no"),
        ("fsync", {}, {"maxmemory": "0"}, "maxmemory is not set; run CONFIG SET maxmemory"),
        ("replica", {}, {"maxmemory": "0"}, "maxmemory is not set; run CONFIG SET maxmemory"),
        ("declared", {}, {"maxmemory": "0", "no-appendfsync-on-rewrite": "yes"}, None),
        ("fsync", {}, None, "denies CONFIG"),
        ("replica", {}, None, "denies CONFIG"),
        ("declared", {}, None, None),
        ("declared", {}, {"appendonly": "no", "maxmemory-policy": "allkeys-lru"}, None),
        ("fsync", {}, {}, None),
        ("replica", {}, {}, None),
    ],
)
def test_server_does_not_meet_the_durability(
    durability: Durability, info: dict[str, str], config: dict[str, str] | None, reason: str | None
) -> None:
    found = durability_problems(durability, SOUND_INFO | info, None if config is None else SOUND_CONFIG | config)
    assert found is None if reason is None else found and reason in found


def test_info_parser_ignores_other_lines() -> None:
    assert parse_info(b"# Server\r\nrole:master\r\n\r\nexecutable:/a:b\r\nbroken\r\n") == {
        "role": "master",
        "executable": "/a:b",
    }


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--appendfsync", "everysec"), "appendfsync"),
        (("--maxmemory-policy", "allkeys-lru"), "maxmemory-policy"),
        (("--appendonly", "no"), "appendonly"),
        (("--no-appendfsync-on-rewrite", "yes"), "no-appendfsync-on-rewrite"),
        (("--maxmemory", "0"), "maxmemory is not set"),
    ],
)
async def test_server_that_is_not_durable_is_accepted_only_if_declared(
    own_valkey: Callable[..., EmbeddedValkey], options: tuple[str, str], reason: str
) -> None:
    server = own_valkey(*options)
    async with store_on(server.url) as store:
        with pytest.raises(StoreNotDurable, match=reason):
            await store.check()
        with pytest.raises(StoreNotDurable, match=reason):
            await store.ingest(make_event(), "k", WINDOW_MS)
    async with store_on(server.url, durability="declared") as store:
        assert (await store.ingest(make_event(), "k", WINDOW_MS)).status == "queued"


async def test_server_that_restarts_without_durability_is_rejected(
    own_valkey: Callable[..., EmbeddedValkey],
) -> None:
    server = own_valkey()
    async with store_on(server.url) as store:
        await store.ingest(make_event(), "a", WINDOW_MS)
        server.kill()
        again = own_valkey("--appendfsync", "no")
        with pytest.raises(StoreNotDurable, match="appendfsync"):
            await store.ingest(make_event(), "b", WINDOW_MS)
        again.kill()
        own_valkey()
        assert (await store.ingest(make_event(), "b", WINDOW_MS)).status == "queued"
        assert (await store.sample()).pending == 2


async def test_changed_server_settings_are_detected_by_the_next_connection(
    own_valkey: Callable[..., EmbeddedValkey],
) -> None:
    async with store_on(own_valkey().url) as store:
        await store.ingest(make_event(), "a", WINDOW_MS)
        await store.client.command("CONFIG", "SET", "appendfsync", "everysec")
        await store.client.close()
        with pytest.raises(StoreNotDurable, match="appendfsync"):
            await store.ingest(make_event(), "b", WINDOW_MS)


@pytest.mark.parametrize(
    ("name", "value", "sound"),
    [
        ("appendfsync", "everysec", "always"),
        ("appendonly", "no", "yes"),
        ("no-appendfsync-on-rewrite", "yes", "no"),
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
        ("maxmemory", "0", "1gb"),
    ],
)
async def test_setting_changed_at_run_time_is_detected_on_open_connections(
    name: str, value: str, sound: str, own_valkey: Callable[..., EmbeddedValkey], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.connection.server.DURABILITY_CHECK_SECONDS", 0.0)
    server = own_valkey()
    async with store_on(server.url) as store, store_on(server.url, durability="declared") as declared:
        await store.ingest(make_event(), "a", WINDOW_MS)
        await declared.ingest(make_event(), "b", WINDOW_MS)
        run_on_server(server.url, "CONFIG", "SET", name, value)
        for _ in range(2):
            with pytest.raises(StoreNotDurable, match=f"{name} is .*run CONFIG SET {name} "):
                await store.ingest(make_event(), "c", WINDOW_MS)
        with pytest.raises(StoreNotDurable, match=name):
            await store.check()
        with pytest.raises(StoreNotDurable, match=name):
            await store.leases("w1").claim(1)
        assert (await declared.ingest(make_event(), "d", WINDOW_MS)).status == "queued"
        run_on_server(server.url, "CONFIG", "SET", name, sound)
        assert (await store.ingest(make_event(), "c", WINDOW_MS)).status == "queued"
        await store.check()


async def test_connection_in_use_during_a_failed_check_is_checked_before_its_next_call(
    own_valkey: Callable[..., EmbeddedValkey],
) -> None:
    server = own_valkey()
    async with store_on(server.url) as store:
        waiting = asyncio.create_task(store.client.wait_for(["tokens"], PATIENCE_SECONDS))
        await until(lambda: b"cmd=blpop" in run_on_server(server.url, "CLIENT", "LIST"))
        run_on_server(server.url, "CONFIG", "SET", "appendfsync", "everysec")
        with pytest.raises(StoreNotDurable, match="appendfsync"):  # this call opens a second connection
            await store.ingest(make_event(), "a", WINDOW_MS)
        run_on_server(server.url, "LPUSH", "tokens", "1")
        assert await waiting
        with pytest.raises(StoreNotDurable, match="appendfsync"):
            await store.ingest(make_event(), "a", WINDOW_MS)


async def test_replica_and_demoted_primary_acknowledge_nothing(
    start_server: StartServer, free_ports: Callable[[int], list[int]]
) -> None:
    (port,) = free_ports(1)
    start_server("primary", "--port", str(port))
    replica = start_server("replica", "--replicaof", f"127.0.0.1 {port}")
    async with store_on(replica.url, ingest_timeout_seconds=0.2) as store:
        with pytest.raises(StoreNotDurable, match="is a replica"):
            await store.check()
        run_on_server(replica.url, "REPLICAOF", "NO", "ONE")
        await store.ingest(make_event(), "a", WINDOW_MS)
        run_on_server(replica.url, "REPLICAOF", "127.0.0.1", str(port))
        with pytest.raises((StoreUnavailable, StoreNotDurable)):
            await store.ingest(make_event(), "b", WINDOW_MS)
        with pytest.raises((StoreUnavailable, StoreNotDurable)):
            await store.leases("w1").claim(1)
        run_on_server(replica.url, "REPLICAOF", "NO", "ONE")
        assert (await store.ingest(make_event(), "b", WINDOW_MS)).status == "queued"


if Path(REDIS_7_0).exists():  # CI installs it; a laptop may be without

    async def test_redis_7_0_supports_fsync_but_not_replica(
        start_server: StartServer,
    ) -> None:
        server = start_server("old", server=REDIS_7_0)
        async with store_on(server.url) as store:
            assert (await store.ingest(make_event(), "k", WINDOW_MS)).status == "queued"
        async with store_on(server.url, durability="replica") as store:
            with pytest.raises(StoreNotDurable, match=r"7\.0\.15; 7\.2 or later"):
                await store.ingest(make_event(), "l", WINDOW_MS)


class TestReplicaMode:
    """An event is acknowledged after a replica has it on disk."""

    @pytest.fixture
    async def pair(self, start_server: StartServer, free_ports: Callable[[int], list[int]]) -> tuple[Any, ...]:
        # Always the embedded server: WAITAOF requires 7.2. Another test covers older servers.
        (port,) = free_ports(1)
        start = partial(start_server, server=None)
        primary = start("primary", "--port", str(port), "--repl-diskless-sync-delay", "0")
        replica = start("replica", "--replicaof", f"127.0.0.1 {port}")
        await in_step(primary)
        return primary, replica, lambda: start("replica", "--replicaof", f"127.0.0.1 {port}")

    async def test_acknowledged_event_is_on_the_replica(self, pair: tuple[Any, ...]) -> None:
        primary, replica, _ = pair
        async with store_on(primary.url, durability="replica") as store:
            event = make_event()
            assert (await store.ingest(event, "k", WINDOW_MS)).status == "queued"
            primary.kill()
        assert run_on_server(replica.url, "EXISTS", f"wb:delivery:{event.id}") == 1

    async def test_nothing_is_acknowledged_without_a_replica(self, pair: tuple[Any, ...]) -> None:
        primary, replica, restart = pair
        async with store_on(primary.url, durability="replica", ingest_timeout_seconds=0.1) as store:
            await store.check()
            replica.kill()
            first = make_event()
            with pytest.raises(StoreUnavailable):
                await store.ingest(first, "k", WINDOW_MS)
            with pytest.raises(StoreUnavailable):
                await store.ingest(make_event(), "k", WINDOW_MS)
            again = restart()
            await in_step(primary)
            receipt = await retry_until_stored(lambda: store.ingest(make_event(), "k", WINDOW_MS))
            assert (receipt.status, receipt.event_id) in {("duplicate", first.id), ("queued", receipt.event_id)}
            primary.kill()
        assert run_on_server(again.url, "EXISTS", f"wb:delivery:{receipt.event_id}") == 1

    async def test_every_required_replica_must_have_the_event(
        self, pair: tuple[Any, ...], start_server: StartServer
    ) -> None:
        primary, replica, _ = pair
        port = run_on_server(primary.url, "CONFIG", "GET", "port")[1].decode()
        values = {"durability": "replica", "replicas_confirming_min": 2, "ingest_timeout_seconds": 0.1}
        async with store_on(primary.url, **values) as store:
            with pytest.raises(StoreUnavailable, match="requires at least 2: add replicas"):
                await store.check()
            second = start_server("second", "--replicaof", f"127.0.0.1 {port}", server=None)
            await in_step(primary, 2)
            assert (await retry_until_stored(lambda: store.ingest(make_event(), "k", WINDOW_MS))).status == "queued"
            os.kill(second.pid, signal.SIGSTOP)
            with pytest.raises(StoreUnavailable, match="1 replicas have the write on disk, 2 are required"):
                await store.ingest(make_event(), "l", WINDOW_MS)
            os.kill(second.pid, signal.SIGCONT)
            event = make_event()
            await retry_until_stored(lambda: store.ingest(event, "m", WINDOW_MS))
        for server in (replica, second):
            assert run_on_server(server.url, "EXISTS", f"wb:delivery:{event.id}") == 1

    async def test_repeated_call_waits_for_the_writes_of_the_first_one(self, pair: tuple[Any, ...]) -> None:
        primary, replica, _ = pair
        async with store_on(primary.url, durability="replica", lease_seconds=0.5) as store:
            event = make_event()
            await store.ingest(event, "k", WINDOW_MS)
            job = await claim_one(store)
            run_on_server(primary.url, "SET", f"arq:in-progress:{job.id}", job.token)  # a lease that lasts
            os.kill(replica.pid, signal.SIGSTOP)  # it is connected, and gets nothing to its disk
            decided = decision(job, event.id, ledger="s")
            for _ in range(2):
                with pytest.raises(StoreUnavailable, match="0 replicas have the write on disk"):
                    await store.lanes.decide(decided)
            os.kill(replica.pid, signal.SIGCONT)
            assert (await retry_until_stored(lambda: store.lanes.decide(decided))).kept
            primary.kill()
        assert run_on_server(replica.url, "HGET", store.keys.event(event.id), "state") == b"decided"

    async def test_events_of_several_shards_are_acknowledged_on_the_replica_or_not_at_all(
        self, pair: tuple[Any, ...]
    ) -> None:
        primary, replica, _ = pair
        environ = {"WAYBILL_REDIS_URL": primary.url, "WAYBILL_DURABILITY": "replica", "WAYBILL_SHARDS": "4"}
        settings = load_settings(environ | {"WAYBILL_INGEST_TIMEOUT_SECONDS": "0.1"})
        shards = await retry_until_stored(lambda: open_shards(settings))
        arrivals = [make_arrival(f"po-{number}") for number in range(16)]
        await shards.ingest_all(arrivals)
        os.kill(replica.pid, signal.SIGSTOP)
        with pytest.raises(StoreUnavailable):
            await shards.ingest_all([make_arrival(f"po-{number}") for number in range(16)])
        os.kill(replica.pid, signal.SIGCONT)
        for arrival in arrivals:
            key = shards.of(arrival.event.record.lane).keys.named(f"delivery:{arrival.event.id}")
            assert run_on_server(replica.url, "EXISTS", key) == 1
        await shards.close()

    async def test_check_of_several_shards_waits_for_a_replica_that_lags(
        self, pair: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in ("connection.client", "shards"):
            monkeypatch.setattr(f"service.store.{module}.WAITAOF_TIMEOUT_MS", 60_000)
        primary, replica, _ = pair
        environ = {"WAYBILL_REDIS_URL": primary.url, "WAYBILL_DURABILITY": "replica", "WAYBILL_SHARDS": "4"}
        settings = load_settings(environ | {"WAYBILL_STORE_TIMEOUT_SECONDS": "60"})
        shards = await retry_until_stored(lambda: open_shards(settings))
        os.kill(replica.pid, signal.SIGSTOP)
        check = asyncio.create_task(shards.check())
        await asyncio.sleep(CHECK_SECONDS_MAX + 0.5)
        assert not check.done()
        os.kill(replica.pid, signal.SIGCONT)
        assert await check == {}
        await shards.close()


@pytest.mark.parametrize("module", [service.ingress.http.health, workers.health])
def test_readiness_waits_longer_than_the_check_of_a_shard(module: ModuleType) -> None:
    shards = build_shards(Settings(durability="replica", shards=16))
    assert WAITAOF_TIMEOUT_MS / 1000 < shards.check_seconds_max < module.CHECK_TIMEOUT_SECONDS < 3  # of the probes


async def in_step(primary: EmbeddedValkey, replicas: int = 1) -> None:
    """Wait until so many replicas follow the primary."""

    def follow() -> bool:
        info = run_on_server(primary.url, "INFO", "replication")
        return all(info.get(f"slave{number}", {}).get("state") == "online" for number in range(replicas))

    await until(follow)
