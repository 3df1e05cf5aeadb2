"""Ports for servers that a test starts later."""

import random
import socket

PORTS = range(20_000, 32_000)
"""Ports below those that Linux gives to clients: another connection does not take one of them before the server."""


def find_free_ports(count: int) -> list[int]:
    """Return ports that no server uses now."""
    candidates = random.SystemRandom().sample(PORTS, 50 * count)
    return [port for port in candidates if _is_free(port)][:count]


def find_adjacent_ports() -> tuple[int, int]:
    """Return two ports, one after the other, that no server uses now."""
    while True:
        (port,) = find_free_ports(1)
        if _is_free(port + 1):
            return port, port + 1


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
