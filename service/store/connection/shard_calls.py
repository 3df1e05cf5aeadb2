"""Calls on several shards of one server, in one round trip."""

# redis-py 5.3.1 has incomplete types. Only this folder uses them.
# pyright: reportUnknownMemberType=false

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

from redis.exceptions import ResponseError

from service.errors import StoreNotDurable, StoreUnavailable
from service.metrics.families import STORE_SECONDS
from service.store.connection.client import Argument, Client, read_reply
from service.store.connection.connection import StoreReply
from service.store.connection.server import Link
from service.store.scripts import Script


class ShardCall(NamedTuple):
    """Call of a script on one shard."""

    client: Client
    script: Script
    arguments: Sequence[Argument]


async def call_together(
    calls: Sequence[ShardCall], *, seconds_max: float
) -> list[StoreReply | StoreUnavailable | StoreNotDurable]:
    """Run calls on shards of one server in one round trip.

    A call that fails is repeated alone, as `Client.call` does: a shard may have moved, or have a damaged key. One shard
    that is unavailable does not affect the others.

    Returns:
        The reply or the error of each call.
    """
    deadline = time.monotonic() + seconds_max

    async def call_alone(call: ShardCall) -> StoreReply:
        left = max(deadline - time.monotonic(), 0)
        try:
            return await call.client.call(call.script, call.arguments, seconds_max=left)
        except (StoreUnavailable, StoreNotDurable) as error:
            return error

    if len(calls) == 1:
        return [await call_alone(calls[0])]
    replies = await _send_together(calls)
    failed = [index for index, reply in enumerate(replies) if isinstance(reply, Exception)]
    if failed:
        repeated = await asyncio.gather(*(call_alone(calls[index]) for index in failed))
        for index, reply in zip(failed, repeated, strict=True):
            replies[index] = reply
    return replies


async def _send_together(calls: Sequence[ShardCall]) -> list[StoreReply]:
    first = calls[0].client

    async def send(link: Link) -> list[StoreReply]:
        for call in calls:
            await call.client.check_link(link)
        packed = [call.client.pack(call.script, call.arguments) for call in calls]
        await link.connection.send_packed_command(b"".join((*packed, first.replica_wait)))
        replies = [await read_reply(link.connection) for _ in calls]
        if first.replica_wait:
            tick, synced = [await read_reply(link.connection) for _ in range(2)]
            # The wait covers earlier writes of other connections only if the tick was written.
            if isinstance(tick, ResponseError) or not first.is_replicated(synced):
                return [StoreUnavailable("the writes may not be on the disk of a replica")] * len(calls)
        return replies

    started = time.monotonic()
    try:
        for call in calls:
            await call.client.verify_first()
        replies = await first.servers.exchange(first.slot, send)
    except (StoreUnavailable, StoreNotDurable) as error:
        return [error] * len(calls)
    STORE_SECONDS.observe((calls[0].script.name,), time.monotonic() - started)
    return replies
