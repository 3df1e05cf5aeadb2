"""Calls on several shards of one server, in one round trip: one call of the script, or in a cluster one per shard."""

# redis-py 5.3.1 and hiredis have incomplete types. Only this folder uses them.
# pyright: reportUnknownMemberType=false

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

from redis.exceptions import NoScriptError, ResponseError

from service.errors import StoreFull, StoreNotDurable, StoreScriptFailed, StoreUnavailable
from service.metrics.families import STORE_ERRORS, STORE_SECONDS
from service.store.connection.client import RETRY_INTERVAL_SECONDS, Client
from service.store.connection.connection import Argument, StoreReply, pack_command, read_reply
from service.store.connection.server import Link
from service.store.scripts import INSTALLATION, Script


class ShardCall(NamedTuple):
    """Arguments of a script for one shard."""

    client: Client
    arguments: Sequence[Argument]


ShardReply = StoreReply | StoreUnavailable | StoreNotDurable


async def call_together(script: Script, calls: Sequence[ShardCall], *, seconds_max: float) -> list[ShardReply]:
    """Run a script for shards of one server. Its replies must not be nil.

    The call is repeated as `Client.call` does. If a part of it fails, this part is repeated alone: its shard may have
    moved, or have a damaged key. One shard that is unavailable does not affect the others.

    Returns:
        The reply or the error of each shard.
    """
    deadline = time.monotonic() + seconds_max

    async def call_alone(call: ShardCall) -> ShardReply:
        left = max(deadline - time.monotonic(), 0)
        try:
            return await call.client.call(script, call.arguments, seconds_max=left)
        except (StoreUnavailable, StoreNotDurable) as error:
            return error

    if len(calls) == 1:
        return [await call_alone(calls[0])]
    replies = await _repeat_together(script, calls, deadline)
    failed = [index for index, reply in enumerate(replies) if reply is None or isinstance(reply, Exception)]
    if failed:
        repeated = await asyncio.gather(*(call_alone(calls[index]) for index in failed))
        for index, reply in zip(failed, repeated, strict=True):
            replies[index] = reply
    return replies


async def _repeat_together(script: Script, calls: Sequence[ShardCall], deadline: float) -> list[StoreReply]:
    """Run the calls until the server answers. Return for each call its reply, or None or an error after a failure."""
    servers = calls[0].client.servers
    while True:
        try:
            return await _send_together(script, calls)
        except (StoreFull, StoreNotDurable, StoreScriptFailed) as error:
            return [error] * len(calls)
        except StoreUnavailable as error:
            # In a cluster, the shards may be on several servers by now.
            if servers.is_cluster or time.monotonic() + RETRY_INTERVAL_SECONDS >= deadline:
                return [error] * len(calls)
            STORE_ERRORS.inc((script.name, error.kind))
        await asyncio.sleep(RETRY_INTERVAL_SECONDS)


async def _send_together(script: Script, calls: Sequence[ShardCall]) -> list[StoreReply]:
    first = calls[0].client

    async def send(link: Link) -> list[StoreReply]:
        await _check_links(link, [call.client for call in calls])
        wait = b"" if script.is_reader else first.replica_wait
        parts = [(call.client, (*call.arguments, call.client.installation.expected)) for call in calls]
        replies = await _run(link, script, parts, wait)
        if wait:
            tick, synced = [await read_reply(link.connection) for _ in range(2)]
            # The wait covers earlier writes of other connections only if the tick was written.
            if isinstance(tick, ResponseError) or not first.is_replicated(synced):
                return [StoreUnavailable("the writes may not be on the disk of a replica")] * len(calls)
        return replies

    started = time.monotonic()
    for call in calls:
        await call.client.verify_first()
    replies = await first.servers.exchange(first.slot, send)
    STORE_SECONDS.observe((script.name,), time.monotonic() - started)
    return replies


async def _check_links(link: Link, clients: Sequence[Client]) -> None:
    """Compare the installation records that were not compared on the connection yet.

    Raises:
        StoreNotDurable: A shard was lost.
        ConfigError: The store has another number of shards.
    """
    unchecked = [client for client in clients if client.is_unchecked(link)]
    if not unchecked:
        return
    parts = [(client, (*client.installation.arguments(), "")) for client in unchecked]
    for client, stored in zip(unchecked, await _run(link, INSTALLATION, parts, b""), strict=True):
        if isinstance(stored, bytes):
            client.installation.use(stored)
            client.mark_checked(link)
        else:  # with its error
            await client.check_link(link)


async def _run(
    link: Link, script: Script, parts: Sequence[tuple[Client, Sequence[Argument]]], wait: bytes
) -> list[StoreReply]:
    """Run a script once for several shards, in a cluster once for each. `wait` follows on the connection."""
    connection = link.connection
    if parts[0][0].servers.is_cluster:
        commands = [client.pack(script, arguments) for client, arguments in parts]
        await connection.send_packed_command(b"".join((*commands, wait)))
        return [await read_reply(connection) for _ in parts]
    flat: list[Argument] = [len(parts), *(client.prefix for client, _ in parts)]
    for client, arguments in parts:
        flat += (len(arguments) + 2, client.prefix, client.queue, *arguments)
    await connection.send_packed_command(pack_command(("EVALSHA", script.grouped_sha, *flat)) + wait)
    reply = await read_reply(connection)
    if isinstance(reply, NoScriptError):
        for _ in range(2 if wait else 0):
            await read_reply(connection)
        await connection.send_packed_command(pack_command(("EVAL", script.grouped_source, *flat)) + wait)
        reply = await read_reply(connection)
    return [reply] * len(parts) if isinstance(reply, Exception) else reply
