"""Servers of the store: one server, or the primaries of a cluster with their slots.

All shards of a process share the connections to each server. A server that is not in cluster mode has all shards. In
a cluster, each call goes to the server that has the slot of its shard; MOVED changes the slot at once, and the whole
map is read again. ASK is not followed.
"""

# redis-py 5.3.1 has incomplete types. Only this folder uses them.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import binascii
import contextlib
from collections.abc import Sequence
from typing import Any

from redis.asyncio import ConnectionPool

from service.errors import StoreNotDurable, StoreUnavailable
from service.settings import Settings
from service.store.connection.connection import StoreReply, build_pools, run_command
from service.store.connection.server import Link, Redirected, Send, Server

SLOTS = 16_384
REDIRECTIONS_MAX = 6
"""Redirections of one call. A call needs more than one only while slots move."""
MAP_TIMEOUT_SECONDS_MAX = 1.0
"""Longest wait for the slots from one server; then the next one is asked."""

Address = tuple[str, int]


def slot_of(key: str) -> int:
    """Return the slot of a key: of the text between its first braces, or else of the whole key."""
    begin = key.find("{")
    end = key.find("}", begin + 1)
    tag = key[begin + 1 : end] if begin >= 0 and end > begin + 1 else key
    return binascii.crc_hqx(tag.encode(), 0) % SLOTS


class Servers:
    """Connections to all servers of a store, and calls on the server of a slot."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        name = "WAYBILL_REDIS_SENTINEL" if settings.redis_sentinel else "WAYBILL_REDIS_URL"
        self.is_cluster = False
        self._seed = Server(settings, build_pools(settings, self._on_info), name)
        self._by_address: dict[Address, Server] = {}
        self._by_slot: dict[int, Server] = {}
        self._loading: asyncio.Task[None] | None = None
        self._last_asked: Server = self._seed

    @property
    def pool(self) -> ConnectionPool:
        """Pool of the configured address, for arq."""
        return self._seed.pool

    def server_of(self, slot: int) -> Server:
        """Return the server that has a slot. Before the slots are known, the one of the configured address."""
        return self._by_slot.get(slot, self._seed)

    def pool_of(self, command: Sequence[object]) -> ConnectionPool:
        """Return the pool of the server that has the key of a command, which is its first argument."""
        key = command[1] if len(command) > 1 else ""
        return self.server_of(slot_of(key.decode() if isinstance(key, bytes) else str(key))).pool

    async def exchange(self, slot: int, send: Send, seconds_max: float | None = None) -> StoreReply:
        """Run `send` on the server that has a slot, as `Server.exchange`.

        Returns:
            The result of `send`.

        Raises:
            StoreUnavailable: No reply in time, the server rejects the call, or no server has the slot alone.
            StoreFull: The server is at its memory limit; nothing was written.
            StoreNotDurable: The server does not meet WAYBILL_DURABILITY, or the store was lost.
        """
        server = self.server_of(slot)
        for _ in range(REDIRECTIONS_MAX):
            try:
                return await server.exchange(send, seconds_max)
            except Redirected as redirected:
                if redirected.asks:
                    raise StoreUnavailable(_move_problem(slot), self._settings.retry_after_seconds) from redirected
                # An address without a host is on the server that answered.
                server = self._server_at((redirected.host or _host_of(server), redirected.port))
                self.is_cluster = True
                self._by_slot[redirected.slot] = server
                self._start_loading(server)
            except StoreUnavailable:
                if self.is_cluster:
                    self._start_loading(None)
                raise
        reason = f"slot {slot} was redirected {REDIRECTIONS_MAX} times: the servers of the cluster do not agree"
        raise StoreUnavailable(reason, self._settings.retry_after_seconds)

    async def close(self) -> None:
        """Close the connections to all servers."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        for server in (self._seed, *self._by_address.values()):
            await server.close()

    def _on_info(self, info: dict[str, str]) -> None:
        self.is_cluster = info.get("cluster_enabled") == "1"

    def _server_at(self, address: Address) -> Server:
        if address not in self._by_address:
            host, port = address
            seed = self._seed.pool
            options: dict[str, Any] = {**seed.connection_kwargs, "host": host, "port": port}
            pool = ConnectionPool(seed.connection_class, **options)
            self._by_address[address] = Server(self._settings, [pool], f"the server {host}:{port} of the cluster")
        return self._by_address[address]

    def _start_loading(self, first: Server | None) -> None:
        if self._loading is None or self._loading.done():
            self._loading = asyncio.get_running_loop().create_task(self._load(first))

    async def _load(self, first: Server | None) -> None:
        """Read the slots from the first server that answers. `first` is asked first."""
        known = [*self._by_address.values(), self._seed]
        # Another one than the last time: a server that is cut off from the others has an old map.
        start = (known.index(self._last_asked) + 1 if self._last_asked in known else 0) % len(known)
        order = known[start:] + known[:start]
        for server in ([first] if first else []) + order:
            with contextlib.suppress(StoreUnavailable, StoreNotDurable, Redirected, ValueError):
                self._last_asked = server
                await self._use(server, await server.exchange(_read_slots, MAP_TIMEOUT_SECONDS_MAX))
                return

    async def _use(self, answered: Server, ranges: Sequence[Sequence[Any]]) -> None:
        by_slot: dict[int, Server] = {}
        for first, last, (host, port, *_), *_replicas in ranges:
            name = host.decode() if host else _host_of(answered)
            by_slot |= dict.fromkeys(range(first, last + 1), self._server_at((name, port)))
        self._by_slot = by_slot
        used = set(by_slot.values())
        for address, server in list(self._by_address.items()):
            if server not in used:
                del self._by_address[address]
                await server.retire()


def _move_problem(slot: int) -> str:
    """Describe a slot that moves key by key. A script could find half of its keys, so no call follows ASK."""
    fix = "end the move (redis-cli --cluster fix if it broke off); CLUSTER MIGRATESLOTS moves slots without a stop"
    return f"the keys of slot {slot} are on two servers, because the slot moves key by key: {fix}"


async def _read_slots(link: Link) -> StoreReply:
    return await run_command(link.connection, "CLUSTER", "SLOTS")


def _host_of(server: Server) -> str:
    return str(server.pool.connection_kwargs.get("host", ""))
