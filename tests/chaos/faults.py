"""Faults: each function injects one fault while events flow, and ends it. Afterwards all processes run."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any, cast

import aiohttp
import redis

from tests.chaos.fleet import HANGING_NAMES, LEASE_SECONDS, TIMEOUT_SECONDS, Fleet
from tests.chaos.proxy import FaultProxy, Mode
from tests.chaos.sender import RESPONSE_TIMEOUT_SECONDS
from tests.unread_stdout import run_unread
from tests.waiting import until

UNUSED_PORT = 9
"""Port where nothing listens: senders find no ingress."""

HOUR_SECONDS = 20.0
"""An hour, scaled by 180: the longest backoff of the fleet is 2 s instead of an hour."""

Fault = Callable[[Fleet], Coroutine[Any, Any, None]]


async def nothing(fleet: Fleet) -> None:
    await asyncio.sleep(1)
    assert fleet.valkey


async def kill_ingress(fleet: Fleet) -> None:
    fleet.ingresses[0].kill()
    await asyncio.sleep(0.5)
    fleet.ingresses[0] = await fleet.start_ingress(0)


async def kill_worker(fleet: Fleet) -> None:
    fleet.workers[0].kill()
    await asyncio.sleep(0.5)
    fleet.workers[0] = await fleet.start_worker()


async def kill_every_worker(fleet: Fleet) -> None:
    for worker in fleet.workers:
        worker.kill()
    fleet.workers = [await fleet.start_worker() for _ in fleet.workers]


async def kill_store(fleet: Fleet) -> None:
    assert fleet.valkey
    fleet.valkey.kill()
    await asyncio.sleep(1)
    await fleet.start_store()


async def lose_power(fleet: Fleet) -> None:
    """Lose power while pending events are on disk only."""
    workers = [worker.process.pid for worker in fleet.workers]
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(0.4)
    fleet.lose_power()
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    await asyncio.sleep(0.3)
    await fleet.start_store()


async def lose_power_during_rewrite(fleet: Fleet) -> None:
    """Lose power while the server rewrites its append-only file, which takes 5 ms a key."""
    store = await fleet.open_store()
    await store.home.client.command("CONFIG", "SET", "rdb-key-save-delay", 5_000)
    await store.home.client.command("BGREWRITEAOF")

    async def is_rewriting() -> bool:
        return b"aof_rewrite_in_progress:1" in await store.home.client.command("INFO", "persistence")

    await until(is_rewriting, TIMEOUT_SECONDS)
    await store.close()
    await lose_power(fleet)


async def stop_worker_past_its_lease(fleet: Fleet) -> None:
    await _stop_process(fleet.workers[0].process.pid, LEASE_SECONDS * 2)


async def stop_ingress(fleet: Fleet) -> None:
    await _stop_process(fleet.ingresses[0].process.pid, 3)


async def stop_store(fleet: Fleet) -> None:
    assert fleet.valkey
    await _stop_process(fleet.valkey.pid, LEASE_SECONDS * 1.5)


async def cut_store_before_calls(fleet: Fleet) -> None:
    await _set_mode("cut requests", 1.0, fleet.to_store)


async def cut_store_before_answers(fleet: Fleet) -> None:
    await _set_mode("cut responses", 1.0, fleet.to_store)


async def break_store_connections(fleet: Fleet) -> None:
    for _ in range(10):
        fleet.to_store.break_all()
        await asyncio.sleep(0.15)


async def hang_store(fleet: Fleet) -> None:
    await _set_mode("hang", LEASE_SECONDS * 1.5, fleet.to_store)
    fleet.to_store.break_all()


async def slow_store(fleet: Fleet) -> None:
    await _set_mode("slow", 2.0, fleet.to_store)


async def cut_platform_before_calls(fleet: Fleet) -> None:
    await _set_mode("cut requests", 1.0, fleet.to_target, fleet.to_sink)


async def cut_platform_before_answers(fleet: Fleet) -> None:
    await _set_mode("cut responses", 1.0, fleet.to_target, fleet.to_sink)


async def read_from_replica(fleet: Fleet) -> None:
    fleet.target.reads = "replica"
    await asyncio.sleep(4)
    fleet.target.reads = "current"


async def lose_routes(fleet: Fleet) -> None:
    fleet.target.reads = "no route"
    await asyncio.sleep(2)
    fleet.target.reads = "current"


async def hang_platform(fleet: Fleet) -> None:
    await _set_mode("hang", 2.0, fleet.to_target, fleet.to_sink)


async def answer_ambiguously(fleet: Fleet) -> None:
    fleet.target.is_ambiguous = True
    await asyncio.sleep(2)
    fleet.target.is_ambiguous = False


async def take_target_down(fleet: Fleet) -> None:
    """Refuse all connections of actions for an hour, which is 20 s at the backoff of the fleet."""
    fleet.to_sink.take_down()
    await asyncio.sleep(HOUR_SECONDS)
    await fleet.to_sink.bring_up()


async def reject_puts(fleet: Fleet) -> None:
    """Answer half of all PUTs with 503, 429 or too late, with two events per second and record."""
    fleet.lanes, fleet.target.is_rejecting = fleet.lanes // 5, True
    await asyncio.sleep(4)
    fleet.lanes, fleet.target.is_rejecting = fleet.lanes * 5, False


async def hang_lookups(fleet: Fleet) -> None:
    """Let some events call targets whose names do not resolve for 4 s."""
    rules = fleet.read_rules()
    when = {"field": "id", "op": "matches", "value": "o[0-9]"}
    urls = [f"http://{name}:{fleet.to_sink.port}/sink/named" for name in HANGING_NAMES]
    fleet.names_hang.touch()
    named: list[dict[str, object]] = [
        {
            "id": f"named-{n}",
            "type": "purchase_order",
            "when": when,
            "actions": [{"id": "call", "do": "http", "url": url}],
        }
        for n, url in enumerate(urls)
    ]
    fleet.write_rules([*rules, *named])
    await fleet.publish()
    await asyncio.sleep(4)
    fleet.write_rules(rules)
    await fleet.publish()
    fleet.names_hang.unlink()


async def fill_memory(fleet: Fleet) -> None:
    store = await fleet.open_store()
    used, _ = await store.home.queue_stats.memory()
    _, limit = await store.home.client.command("CONFIG", "GET", "maxmemory")
    await store.home.client.command("CONFIG", "SET", "maxmemory", used + 100_000)
    await asyncio.sleep(2)
    await store.home.client.command("CONFIG", "SET", "maxmemory", limit)
    await store.close()


async def make_read_only(fleet: Fleet) -> None:
    store = await fleet.open_store()
    await store.home.client.command("REPLICAOF", "127.0.0.1", 1)
    await asyncio.sleep(1.5)
    await store.home.client.command("REPLICAOF", "NO", "ONE")
    await store.close()


async def deny_commands(fleet: Fleet) -> None:
    """Deny one command after the other, so that scripts fail half-way."""
    store = await fleet.open_store()
    for command in ("zadd", "hset", "hincrby", "set", "xadd", "zrem"):
        await store.home.client.command("ACL", "SETUSER", "default", f"-{command}")
        await asyncio.sleep(0.5)
        await store.home.client.command("ACL", "SETUSER", "default", f"+{command}")
    await store.close()


async def weaken_durability(fleet: Fleet) -> None:
    """Set `appendfsync everysec` until both ingresses reject deliveries, then lose power."""
    store = await fleet.open_store()
    await store.home.client.command("CONFIG", "SET", "appendfsync", "everysec")
    async with aiohttp.ClientSession() as client:

        async def is_rejecting() -> bool:
            return [await _status(client, port) for port in fleet.ports] == [503, 503]

        await until(is_rejecting, TIMEOUT_SECONDS)
    await asyncio.sleep(RESPONSE_TIMEOUT_SECONDS)  # deliveries in flight are answered
    await _wait_for_sync(fleet)
    await store.close()
    fleet.lose_power()
    await fleet.start_store()


async def _wait_for_sync(fleet: Fleet) -> None:
    """Write, and wait until the store has synced the write and all before it. With `everysec` a sync can be late."""
    assert fleet.valkey
    url = fleet.valkey.url
    server = cast("Any", redis.Redis)  # redis-py types it with holes

    def wait() -> list[int]:
        with server.from_url(url, single_connection_client=True) as client:
            client.execute_command("SET", "synced", "1", "PX", 1)
            return client.execute_command("WAITAOF", 1, 0, int(TIMEOUT_SECONDS * 1_000))

    assert (await asyncio.to_thread(wait))[0] == 1


async def _status(client: aiohttp.ClientSession, port: int) -> int:
    async with client.get(f"http://127.0.0.1:{port}/readyz") as response:
        return response.status


async def block_stdout(fleet: Fleet) -> None:
    """Replace an ingress and a worker by ones whose standard output nobody reads, and stop these by SIGTERM."""
    for child in (fleet.ingresses[0], fleet.workers[0]):
        await asyncio.to_thread(child.stop, TIMEOUT_SECONDS)
    environ = fleet.make_environ() | {"WAYBILL_ADMIN_PORT": "0"}
    with contextlib.ExitStack() as stack:
        unread = [
            stack.enter_context(run_unread(command, fleet.directory / "logs", environ | {"WAYBILL_PORT": port}))
            for command, port in (("serve", fleet.ports[0]), ("worker", 0))
        ]
        for each in unread:
            await each.wait_for_started()
        for each in unread:
            await each.wait_until_blocked()
        await asyncio.sleep(2)
        for each in unread:
            each.process.terminate()
        assert [await each.wait() for each in unread] == [0, 0]
    fleet.ingresses[0], fleet.workers[0] = await fleet.start_ingress(0), await fleet.start_worker()


async def empty_store(fleet: Fleet) -> None:
    """Empty the store when it has no pending event, and accept the loss a second later."""
    ports, fleet.ports = fleet.ports, [UNUSED_PORT, UNUSED_PORT]
    store = await fleet.open_store()
    await asyncio.sleep(RESPONSE_TIMEOUT_SECONDS)  # deliveries in flight are acknowledged, the others are repeated

    async def is_done() -> bool:
        return not (await store.sample()).pending

    async def is_lost() -> bool:
        record = await store.home.installation.record()
        return record is not None and record.lost

    await until(is_done, TIMEOUT_SECONDS)
    await store.home.client.command("FLUSHALL")
    fleet.ports = ports
    await asyncio.sleep(1)
    await until(is_lost, TIMEOUT_SECONDS)
    record = await store.home.installation.accept("")
    assert record is not None
    for shard in store.stores[1:]:
        await shard.installation.accept(record.id)
    await store.close()
    await fleet.publish()


async def fill_disk(fleet: Fleet) -> None:
    assert fleet.valkey
    fleet.switch(disk_full=True)
    await asyncio.to_thread(fleet.valkey.process.wait, TIMEOUT_SECONDS)  # with `always` the server exits
    fleet.switch()
    await fleet.start_store()


async def jump_clock_forward(fleet: Fleet) -> None:
    fleet.switch(clock_seconds=3_600)
    await asyncio.sleep(2)


async def jump_clock_back(fleet: Fleet) -> None:
    fleet.switch(clock_seconds=-5)
    await asyncio.sleep(2)
    fleet.switch()


async def publish_rules(fleet: Fleet) -> None:
    rules = fleet.read_rules()
    for sort in (7, 8, 9):
        fleet.write_rules([rule | {"sort": sort} for rule in rules])
        await fleet.publish()
    fleet.write_rules(rules)
    await fleet.publish()


async def roll_out(fleet: Fleet) -> None:
    for index in range(2):
        old_worker, old_ingress = fleet.workers[index], fleet.ingresses[index]
        fleet.workers[index] = await fleet.start_worker()
        await asyncio.to_thread(old_worker.stop, TIMEOUT_SECONDS)
        await asyncio.to_thread(old_ingress.stop, TIMEOUT_SECONDS)
        fleet.ingresses[index] = await fleet.start_ingress(index)


async def _stop_process(pid: int, seconds: float) -> None:
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(seconds)
    os.kill(pid, signal.SIGCONT)


async def _set_mode(mode: Mode, seconds: float, *proxies: FaultProxy) -> None:
    for proxy in proxies:
        proxy.mode = mode
    await asyncio.sleep(seconds)
    for proxy in proxies:
        proxy.mode = "pass"


FAULTS: dict[str, Fault] = {
    "none": nothing,
    "SIGKILL an ingress": kill_ingress,
    "SIGKILL a worker": kill_worker,
    "SIGKILL every worker": kill_every_worker,
    "SIGKILL the store": kill_store,
    "power lost: store cut to its last fdatasync": lose_power,
    "power lost during a rewrite of the append-only file": lose_power_during_rewrite,
    "SIGSTOP a worker past its lease, SIGCONT": stop_worker_past_its_lease,
    "SIGSTOP an ingress, SIGCONT": stop_ingress,
    "SIGSTOP the store past the leases, SIGCONT": stop_store,
    "store calls cut before they arrive": cut_store_before_calls,
    "store calls cut before their answers": cut_store_before_answers,
    "store connections broken off": break_store_connections,
    "store hangs": hang_store,
    "store slow (100 ms a call)": slow_store,
    "platform and sink cut before calls arrive": cut_platform_before_calls,
    "platform and sink cut before their answers": cut_platform_before_answers,
    "platform and sink hang": hang_platform,
    "every other read from a replica that is behind": read_from_replica,
    "gateway answers reads with 404 in JSON": lose_routes,
    "target acts, then answers each ambiguous status": answer_ambiguously,
    "target down for an hour (scaled: 20 s)": take_target_down,
    "PUTs answered with 503, 429 or too late": reject_puts,
    "lookups of some targets' names hang": hang_lookups,
    "store's memory full": fill_memory,
    "store read-only": make_read_only,
    "store denies one command after the other (ACL)": deny_commands,
    "`appendfsync everysec` at run time, then power lost": weaken_durability,
    "store emptied (FLUSHALL), then accepted": empty_store,
    "store's disk full": fill_disk,
    "store's clock an hour ahead": jump_clock_forward,
    "store's clock back": jump_clock_back,
    "rules published": publish_rules,
    "rolling deploy": roll_out,
    "standard output of an ingress and a worker blocked": block_stdout,
}
