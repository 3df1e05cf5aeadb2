"""Calls on several shards of one server, in one round trip: one call of the script, or in a cluster one per shard."""

# redis-py 5.3.1 and hiredis have incomplete types. Only this folder uses them.
# pyright: reportUnknownMemberType=false

import asyncio
import contextlib
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


async def call_together(script: Script, calls: Sequence[ShardCall]) -> list[ShardReply]:
    """Run a script for shards of one server. Its replies must not be nil.

    A call that fails is run alone: its shard may have moved, or have a damaged key.

    Returns:
        The reply or the error of each shard.
    """

    async def call_alone(call: ShardCall) -> ShardReply:
        try:
            return await call.client.call(script, call.arguments, seconds_max=0)
        except (StoreUnavailable, StoreNotDurable) as error:
            return error

    replies: list[ShardReply | None] = [None]
    if len(calls) > 1:
        replies = await send_together(script, calls, seconds_max=0)
    failed = [index for index, reply in enumerate(replies) if reply is None]
    repeated = await asyncio.gather(*(call_alone(calls[index]) for index in failed))
    for index, reply in zip(failed, repeated, strict=True):
        replies[index] = reply
    return replies


async def send_together(script: Script, calls: Sequence[ShardCall], *, seconds_max: float) -> list[ShardReply | None]:
    """Run a script for shards of one server, whose replies must not be nil. Repeat it while the server does not answer.

    Returns:
        The reply of each shard, or None for one whose call failed and must be run alone. After `seconds_max` without an
        answer of the only server, its error.
    """
    deadline = time.monotonic() + seconds_max
    while True:
        try:
            return await _send_together(script, calls)
        except (StoreFull, StoreNotDurable, StoreScriptFailed):
            return [None] * len(calls)
        except StoreUnavailable as error:
            if calls[0].client.servers.is_cluster:  # the shards may be on several servers by now
                return [None] * len(calls)
            STORE_ERRORS.inc((script.name, error.kind))
            if time.monotonic() + RETRY_INTERVAL_SECONDS >= deadline:
                return [error] * len(calls)
        await asyncio.sleep(RETRY_INTERVAL_SECONDS)


async def _send_together(script: Script, calls: Sequence[ShardCall]) -> list[StoreReply | None]:
    first = calls[0].client

    async def send(link: Link) -> list[StoreReply]:
        usable = await _check_links(link, [call.client for call in calls])
        parts = [
            (call.client, (*call.arguments, call.client.installation.expected))
            for call in calls
            if call.client in usable
        ]
        if not parts:
            return [None] * len(calls)
        wait = b"" if script.is_reader else first.replica_wait
        replies = dict(zip([client for client, _ in parts], await _run(link, script, parts, wait), strict=True))
        if wait:
            tick, synced = [await read_reply(link.connection) for _ in range(2)]
            # The wait covers earlier writes of other connections only if the tick was written.
            if isinstance(tick, ResponseError):
                raise StoreUnavailable("the writes may not be on the disk of a replica")
            first.require_replicated(synced)
        return [replies.get(call.client) for call in calls]

    started = time.monotonic()
    for call in calls:
        await call.client.verify_first()
    replies = await first.servers.exchange(first.slot, send)
    STORE_SECONDS.observe((script.name,), time.monotonic() - started)
    return [None if isinstance(reply, Exception) else reply for reply in replies]


async def _check_links(link: Link, clients: Sequence[Client]) -> set[Client]:
    """Compare the installation records that were not compared on the connection yet.

    Returns:
        The shards that can be used.

    Raises:
        ConfigError: The store has another number of shards.
    """
    usable = {client for client in clients if not client.is_unchecked(link)}
    unchecked = [client for client in clients if client not in usable]
    if not unchecked:
        return usable
    parts = [(client, (*client.installation.arguments(), "")) for client in unchecked]
    for client, stored in zip(unchecked, await _run(link, INSTALLATION, parts, b""), strict=True):
        with contextlib.suppress(StoreNotDurable):  # its own call raises the error
            if isinstance(stored, bytes):
                client.installation.use(stored)
                client.mark_checked(link)
                usable.add(client)
    return usable


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
    for _, arguments in parts:
        flat += (len(arguments), *arguments)
    await connection.send_packed_command(pack_command(("EVALSHA", script.grouped_sha, *flat)) + wait)
    reply = await read_reply(connection)
    if isinstance(reply, NoScriptError):
        for _ in range(2 if wait else 0):
            await read_reply(connection)
        await connection.send_packed_command(pack_command(("EVAL", script.grouped_source, *flat)) + wait)
        reply = await read_reply(connection)
    return [reply] * len(parts) if isinstance(reply, Exception) else reply
