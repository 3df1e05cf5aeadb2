"""Open connections of one port. If there are too many, the one that waits the longest is closed.

A connection waits for a request or for the rest of one, so closing it loses no response. First come connections of
clients above their share: one client cannot take all connections from the others.
"""

import asyncio
import resource
from collections import Counter
from typing import Protocol

from service.ingress.limits.client_address import address_block
from service.log import get_logger
from service.metrics.families import CONNECTIONS_CLOSED
from service.settings import Settings
from service.ssrf_guard import parse_cidrs
from service.trusted_proxies import is_trusted

CLIENT_SHARES = 4
"""A client above a quarter of the connections is closed first."""

FILES_RESERVED = 256
"""File descriptors for everything but connections of the two ports and of the store."""

LOG_INTERVAL_SECONDS = 1.0


class OpenConnection(Protocol):
    """Connection that the table may close."""

    def end(self) -> None:
        """Close the connection, which waits for a request or for the rest of one."""
        ...


def connections_within_files(settings: Settings) -> int:
    """Return WAYBILL_CONNECTIONS_MAX, or fewer if the process may not open enough files for two ports.

    Raises the soft limit of open files to the required number, up to the hard limit.
    """
    fixed = FILES_RESERVED + settings.store_connections_max
    required = fixed + 2 * settings.connections_max
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < required:
        soft = required if hard == resource.RLIM_INFINITY else min(required, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= required:
        return settings.connections_max
    connections_max = max(1, (soft - fixed) // 2)
    fix = f"raise the limit of open files (ulimit -n) to {required}, or lower WAYBILL_CONNECTIONS_MAX"
    get_logger().warning("connections.limited", connections_max=connections_max, files_max=soft, fix=fix)
    return connections_max


class ConnectionTable:
    """Connections of one port. A connection is added once, then alternates between `wait` and `work`."""

    def __init__(self, settings: Settings) -> None:
        self._max = settings.connections_max
        self._trusted = parse_cidrs(settings.trusted_proxies)
        self._share = max(1, settings.connections_max // CLIENT_SHARES)
        self._clients: dict[OpenConnection, str] = {}
        self._connections_of: Counter[str] = Counter()
        self._above_share: set[str] = set()
        self._waiting: dict[OpenConnection, None] = {}
        self._unlogged: Counter[str] = Counter()
        self._log = get_logger().bind()

    def add(self, connection: OpenConnection, address: str) -> bool:
        """Add a connection, and close another one if there are too many; return false if none can be closed."""
        if len(self._clients) >= self._max and not self._close_longest_waiting():
            self._record("rejected")
            return False
        # A proxy forwards the connections of many clients.
        client = "" if is_trusted(address, self._trusted) else address_block(address)
        self._clients[connection] = client
        self._waiting[connection] = None
        self._count(client, 1)
        return True

    def wait(self, connection: OpenConnection) -> None:
        """Record that the connection waits for a request since now."""
        if connection in self._clients:
            self._waiting.pop(connection, None)
            self._waiting[connection] = None

    def work(self, connection: OpenConnection) -> None:
        """Record that a handler has the complete request."""
        self._waiting.pop(connection, None)

    def remove(self, connection: OpenConnection) -> None:
        """Remove a connection, if it was not removed before."""
        client = self._clients.pop(connection, "")
        self._waiting.pop(connection, None)
        self._count(client, -1)

    def _count(self, client: str, change: int) -> None:
        if not client:
            return
        count = self._connections_of[client] = self._connections_of[client] + change
        if count > self._share:
            self._above_share.add(client)
        else:
            self._above_share.discard(client)
        if not count:
            del self._connections_of[client]

    def _close_longest_waiting(self) -> bool:
        first = next(iter(self._waiting), None)
        if first is None:
            return False
        victim = first
        if self._above_share:
            victim = next((each for each in self._waiting if self._clients[each] in self._above_share), first)
        self.remove(victim)
        victim.end()
        self._record("waiting")
        return True

    def _record(self, reason: str) -> None:
        CONNECTIONS_CLOSED.inc((reason,))
        if not self._unlogged:
            asyncio.get_running_loop().call_later(LOG_INTERVAL_SECONDS, self._log_summary)
        self._unlogged[reason] += 1

    def _log_summary(self) -> None:
        self._log.warning(
            "connections.exhausted",
            connections_max=self._max,
            connections_closed=self._unlogged["waiting"],
            connections_rejected=self._unlogged["rejected"],
            clients_above_share=len(self._above_share),
        )
        self._unlogged.clear()
