"""Listening sockets of both processes."""

import socket

from service.errors import ConfigError

BACKLOG = 2_048
DUAL_STACK = frozenset({"::", "[::]"})
"""Hosts that listen on IPv6 and on IPv4, if the system has both."""


def bind(
    host: str, port: int, variable: str, fix: str = "set a free port, and an address of this machine"
) -> socket.socket:
    """Bind a listening socket; port 0 selects a free port.

    Raises:
        ConfigError: the address is not available; `variable` is the setting to name.
    """
    address = host.strip("[]")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    dual = host in DUAL_STACK and socket.has_dualstack_ipv6()
    try:
        listener = socket.create_server((address, port), family=family, backlog=BACKLOG, dualstack_ipv6=dual)
    except OSError as error:
        reason = f"cannot listen on {host}:{port} ({error.strerror or error})"
        raise ConfigError(variable, reason, fix) from error
    # Accepted sockets inherit it. asyncio sets it for sockets with a protocol number only, and this one has none.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setblocking(False)  # noqa: FBT003 - the standard library has no name for it
    return listener
