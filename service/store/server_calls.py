"""Calls on all shards, in one round trip for each server that has some of them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from service.errors import StoreNotDurable, StoreUnavailable
from service.store.connection.server import Server
from service.store.connection.shard_calls import ShardCall, ShardReply, call_together
from service.store.management.queue_stats import NO_MEMORY, QueueStats, decode_stats
from service.store.platforms.parking import ParkedJobs, decode_parked
from service.store.scripts import CHECK, PARKED, QUEUE_STATS, Script
from service.store.store import Store


def group_by_server(stores: Sequence[Store]) -> Sequence[Sequence[Store]]:
    """Return the shards in groups, one for each server."""
    found: dict[Server, list[Store]] = {}
    for store in stores:
        found.setdefault(store.client.server, []).append(store)
    return list(found.values())


async def call_each_server(
    stores: Sequence[Store], call: Callable[[Sequence[Store]], Awaitable[Sequence[Any]]], seconds_max: float
) -> Mapping[Store, Any]:
    """Call each server with its shards. One of several servers has at most `seconds_max`, so that it delays no other.

    Returns:
        The result or the error of each shard.

    Raises:
        ConfigError: The store has another number of shards.
    """
    groups = group_by_server(stores)

    async def run(group: Sequence[Store]) -> Sequence[Any]:
        try:
            async with asyncio.timeout(seconds_max if len(groups) > 1 else None):
                return await call(group)
        except TimeoutError:
            return [StoreUnavailable(f"the store did not answer a check within {seconds_max:g} s")] * len(group)
        except (StoreUnavailable, StoreNotDurable) as error:
            return [error] * len(group)

    found: dict[Store, Any] = {}
    results = await asyncio.gather(*map(run, groups), return_exceptions=True)
    for group, result in zip(groups, results, strict=True):
        if isinstance(result, BaseException):
            raise result
        found.update(zip(group, result, strict=True))
    return {store: found[store] for store in stores}


def require_all(results: Mapping[Store, Any]) -> list[Any]:
    """Return the results of all shards.

    Raises:
        StoreUnavailable, StoreNotDurable: The first error.
    """
    for result in results.values():
        if isinstance(result, Exception):
            raise result
    return list(results.values())


async def check_server(stores: Sequence[Store], *, is_worker: bool) -> Sequence[ShardReply]:
    """Check the memory of a server, and with a write that it accepts events in each shard.

    Returns:
        The error of each shard that accepts none.
    """
    await stores[0].require_memory()
    # A server that is full, demoted or read-only still answers reads.
    return await _call(CHECK, stores, int(is_worker))


async def sample_server(stores: Sequence[Store]) -> Sequence[QueueStats | Exception]:
    """Return the statistics or the error of each shard of a server. The first one has the memory of the server."""
    replies = await _call(QUEUE_STATS, stores)
    memory = await stores[0].queue_stats.memory()
    found: list[QueueStats | Exception] = []
    for reply in replies:
        if isinstance(reply, Exception):
            found.append(reply)
        else:
            found.append(decode_stats(reply, memory))
            memory = NO_MEMORY
    return found


async def read_parked(stores: Sequence[Store]) -> Sequence[Mapping[str, ParkedJobs] | Exception]:
    """Return the accounts with parked jobs, or the error, of each shard of a server."""
    return [reply if isinstance(reply, Exception) else decode_parked(reply) for reply in await _call(PARKED, stores)]


async def _call(script: Script, stores: Sequence[Store], *arguments: int) -> Sequence[ShardReply]:
    return await call_together(script, [ShardCall(store.client, arguments) for store in stores])
