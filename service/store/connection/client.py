"""Store client of one shard: runs scripts and commands in one round trip, and repeats scripts after connection errors.

A script is repeated if it did not run or its reply was lost, not if one of its commands failed. A command that finds a
key of another type is repeated after the key was set aside (`damage`).

Scripts are sent as EVALSHA, and as EVAL if the server does not know them (restart, failover). hiredis encodes them.
"""

# redis-py 5.3.1 and hiredis have incomplete types. Only this folder uses them.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import time
from collections.abc import Sequence

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError, ResponseError

from service.errors import StoreFull, StoreNotDurable, StoreScriptFailed, StoreUnavailable
from service.metrics.families import STORE_ERRORS, STORE_SECONDS
from service.settings import Settings
from service.store.connection.connection import Argument, StoreReply, pack_command, read_reply, run_command
from service.store.connection.damage import DamageLog, is_damage
from service.store.connection.installation import InstallationCheck
from service.store.connection.server import Link, Send, Server
from service.store.connection.servers import Servers, slot_of
from service.store.scripts import COMMAND, DAMAGED_KEYS, INSTALLATION, Script

RETRY_INTERVAL_SECONDS = 0.05
WAITAOF_TIMEOUT_MS = 2_000
TICK = "#!lua flags=allow-oom\nredis.call('SET', KEYS[1], redis.call('TIME')[1])"
"""A write before WAITAOF, which waits for writes of its own connection only. A repeated call on another connection may
find everything written and write nothing. With this write it waits for all earlier writes too."""


class Client:
    """Calls on one shard. The shards of a process share the connections of `servers`.

    With `check_installation`, the shard is used only while it has the installation record of the first connection.
    Commands of operators do without, so that a store can be inspected before its data are accepted. `first` is the
    client of the first shard, whose record the others must have.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        check_installation: bool = False,
        servers: Servers | None = None,
        first: "Client | None" = None,
    ) -> None:
        self.servers = servers or Servers(settings)
        self.slot = slot_of(settings.key_prefix)
        self._first = first
        self.installation = InstallationCheck(settings, first.installation if first else None)
        self._checks_installation = check_installation
        self.prefix, self.queue = settings.key_prefix, settings.queue
        # The declared key, from which a cluster computes the slot of the call, then the prefix and the queue.
        self._first_arguments = (1, settings.key_prefix, settings.key_prefix, settings.queue)
        self._replicas = settings.replicas_confirming_min if settings.durability == "replica" else 0
        tick = pack_command(("EVAL", TICK, 1, f"{settings.key_prefix}tick"))
        wait = tick + pack_command(("WAITAOF", 1, self._replicas, WAITAOF_TIMEOUT_MS))
        self.replica_wait = wait if self._replicas else b""
        """Commands with two replies, behind a write that must be on the disk of a replica; empty without replicas."""
        self._timeout_seconds = settings.store_timeout_seconds
        self._retry_after_seconds = settings.retry_after_seconds
        self._damage_log = DamageLog()

    @property
    def server(self) -> Server:
        """Server that has the shard, as far as this process knows."""
        return self.servers.server_of(self.slot)

    @property
    def pool(self) -> ConnectionPool:
        """Connection pool for arq."""
        return self.servers.pool

    async def call(self, script: Script, arguments: Sequence[Argument], *, seconds_max: float) -> StoreReply:
        """Run `script` with prefix, queue and `arguments`. Repeat it until it succeeds or `seconds_max` have passed.

        Returns:
            The reply of the script.

        Raises:
            StoreUnavailable: No reply in time, or the server rejects writes (demoted, disk full, loading).
            StoreScriptFailed: A command of the script failed; earlier commands are not undone. Not repeated.
            StoreFull: The server is at its memory limit; nothing was written.
            StoreNotDurable: The server does not meet WAYBILL_DURABILITY, or the store was lost.
        """

        async def run(link: Link) -> StoreReply:
            return await self._run(link.connection, script, arguments)

        deadline = time.monotonic() + seconds_max
        while True:
            started = time.monotonic()
            try:
                reply = await self._exchange(run)
            except (StoreFull, StoreNotDurable, StoreScriptFailed) as error:
                # Not repeated: the caller must know at once, and a sender retries by itself.
                STORE_ERRORS.inc((script.name, error.kind))
                raise
            except StoreUnavailable as error:
                STORE_ERRORS.inc((script.name, error.kind))
                if time.monotonic() + RETRY_INTERVAL_SECONDS >= deadline:
                    raise
                await asyncio.sleep(RETRY_INTERVAL_SECONDS)
                continue
            STORE_SECONDS.observe((script.name,), time.monotonic() - started)
            return reply

    async def command(self, *command: Argument) -> StoreReply:
        """Run one command. Does not repeat it.

        Returns:
            The reply of the server.

        Raises:
            StoreUnavailable: No reply in time, or the server rejects writes.
            StoreFull: The server is at its memory limit; nothing was written.
            StoreNotDurable: The server does not meet WAYBILL_DURABILITY.
        """

        async def send(link: Link) -> StoreReply:
            try:
                return await run_command(link.connection, *command)
            except ResponseError as error:
                if not is_damage(error):
                    raise
                return await self._repair(link.connection, COMMAND, command)

        return await self._exchange(send)

    async def wait_for(self, keys: Sequence[str], seconds_max: float) -> str | None:
        """Block on the lists `keys` for at most `seconds_max`. In a cluster, all of them must have one slot.

        Returns:
            The key of a list that had a token, which is removed; None if none had.

        Raises:
            StoreUnavailable: The connection failed.
        """

        async def block(link: Link) -> str | None:
            try:
                reply = await run_command(link.connection, "BLPOP", *keys, f"{seconds_max:.3f}")
            except ResponseError as error:
                if not is_damage(error):
                    raise
                # The calls of the other shards repair their own keys.
                for key in keys:
                    if key.startswith(self.prefix):
                        await self._repair(link.connection, COMMAND, ("LLEN", key))
                return None
            return reply[0].decode() if reply else None

        return await self._exchange(block, seconds_max + self._timeout_seconds)

    async def verify(self) -> None:
        """Compare the installation record, if this was not done yet.

        Raises:
            StoreUnavailable: The server does not answer.
            StoreNotDurable: The server does not meet WAYBILL_DURABILITY, or the store was lost.
            ConfigError: The store has another number of shards.
        """

        async def send(_link: Link) -> None:
            """Send nothing: the record is compared before each call."""

        if self._checks_installation and not self.installation.expected:
            await self._exchange(send)

    async def close(self) -> None:
        """Close the connections of all shards."""
        await self.servers.close()

    async def verify_first(self) -> None:
        """Compare the installation record of the first shard. It comes before each call on a connection.

        Raises:
            StoreUnavailable: The server does not answer.
            StoreNotDurable: The server does not meet WAYBILL_DURABILITY, or the store was lost.
            ConfigError: The store has another number of shards.
        """
        if self._checks_installation and self._first is not None:
            await self._first.verify()

    async def check_link(self, link: Link) -> None:
        """Compare the installation record on a connection, once.

        Raises:
            StoreNotDurable: The store was lost.
            ConfigError: The store has another number of shards.
        """
        if self.is_unchecked(link):
            await self._check_installation(link.connection)
            self.mark_checked(link)

    def is_unchecked(self, link: Link) -> bool:
        """Return whether the installation record must be compared on the connection first."""
        return self._checks_installation and self.prefix not in link.checked

    def mark_checked(self, link: Link) -> None:
        """Note that the installation record was compared on the connection."""
        link.checked.add(self.prefix)

    def pack(self, script: Script, arguments: Sequence[Argument]) -> bytes:
        """Return the command that runs a script, if the server knows it. `arguments` end with the expected record."""
        return pack_command(("EVALSHA", script.sha, *self._first_arguments, *arguments))

    def require_replicated(self, synced: StoreReply) -> None:
        """Check that a reply to WAITAOF shows enough disks.

        Raises:
            StoreUnavailable: It does not.
        """
        if isinstance(synced, ResponseError):
            raise synced
        if synced[0] < 1 or synced[1] < self._replicas:
            reason = (
                f"{synced[1]} replicas have the write on disk, {self._replicas} are required: check the replicas, "
                "WAYBILL_DURABILITY and WAYBILL_REPLICAS_CONFIRMING_MIN"
            )
            raise StoreUnavailable(reason, self._retry_after_seconds)

    async def _exchange(self, send: Send, seconds_max: float | None = None) -> StoreReply:
        if not self._checks_installation:
            return await self.servers.exchange(self.slot, send, seconds_max)
        # Before a connection is used: a call on a second connection could wait for the first one for ever.
        await self.verify_first()

        async def check_and_send(link: Link) -> StoreReply:
            await self.check_link(link)
            return await send(link)

        return await self.servers.exchange(self.slot, check_and_send, seconds_max)

    async def _check_installation(self, connection: AbstractConnection) -> None:
        arguments = (*self.installation.arguments(), "")
        self.installation.use(await self._evaluate(connection, INSTALLATION, arguments))

    async def _run(self, connection: AbstractConnection, script: Script, arguments: Sequence[Argument]) -> StoreReply:
        try:
            return await self._evaluate(connection, script, (*arguments, self.installation.expected))
        except ResponseError as error:
            if is_damage(error):
                return await self._repair(connection, script, arguments)
            if not str(error).startswith("LOST "):
                raise
            # Raises StoreLost, unless an operator has accepted the store since.
            await self._check_installation(connection)
            return await self._evaluate(connection, script, (*arguments, self.installation.expected))

    async def _repair(
        self, connection: AbstractConnection, script: Script, arguments: Sequence[Argument]
    ) -> StoreReply:
        """Run a script in its form that sets damaged keys aside, and log them."""
        last = self.installation.expected
        command = ("EVAL", script.repairing_source, *self._first_arguments, *arguments, last)
        try:
            reply = await self._send(connection, script, command, writes=True)
        except ResponseError as error:
            reply = error
        self._damage_log.write(await self._evaluate(connection, DAMAGED_KEYS, (last,)))
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    async def _evaluate(
        self, connection: AbstractConnection, script: Script, arguments: Sequence[Argument]
    ) -> StoreReply:
        try:
            return await self._send(connection, script, ("EVALSHA", script.sha, *self._first_arguments, *arguments))
        except NoScriptError:
            # The server's script cache is empty after a restart or a failover.
            return await self._send(connection, script, ("EVAL", script.source, *self._first_arguments, *arguments))

    async def _send(
        self, connection: AbstractConnection, script: Script, command: tuple[Argument, ...], *, writes: bool = False
    ) -> StoreReply:
        packed = pack_command(command)
        # A script without writes does not wait for replicas.
        if not self._replicas or (script.is_reader and not writes):
            await connection.send_packed_command(packed)
            return await connection.read_response()
        await connection.send_packed_command(packed + self.replica_wait)
        reply, _, synced = [await read_reply(connection) for _ in range(3)]
        if isinstance(reply, ResponseError):
            raise reply
        self.require_replicated(synced)
        return reply
