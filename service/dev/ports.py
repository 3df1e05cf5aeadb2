"""Ports of `waybill dev`: given ports must be free, default ports move to the next free pair.

A port is reserved by a name in the kernel (an abstract unix socket of Linux), so that two processes that start at the
same time do not choose the same port. The name is released when the process ends.
"""

import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from msgspec import Struct

from service.errors import ConfigError

DEFAULT_PORT = 8_080
DEFAULT_ADMIN_PORT = 8_081
DEFAULT_SANDBOX_PORT = 8_090
PORT_MAX = 65_535
PAIRS_MAX = 50
"""Pairs of ports that are tried before the system chooses free ports."""


class Ports(Struct, frozen=True):
    """Ports of the service and of the sandbox; 0 is a free port. `notes` explain each that is not the default.

    The mail server of the sandbox has the port after that of the sandbox, or a free one.
    """

    port: int
    admin_port: int
    sandbox_port: int
    mail_port: int
    notes: tuple[str, ...] = ()


def choose_ports(port: int | None, admin_port: int | None, exits: ExitStack, sandbox_port: int | None = None) -> Ports:
    """Choose the ports, and reserve them until `exits` ends. None means the default or the next free port.

    Raises:
        ConfigError: a given port is in use, or two are the same.
    """
    if port and port == admin_port:
        raise ConfigError("--admin-port", f"port {port} is also given as --port", "name two different ports")
    for option, given in (("--port", port), ("--admin-port", admin_port), ("--sandbox-port", sandbox_port)):
        if given:
            _check_port(option, given)
    given = {port, admin_port}
    chosen = next(
        pair
        for pair in _candidates(port, admin_port)
        if (pair[0] != pair[1] or not pair[0]) and _reserve([each for each in pair if each not in given], exits)
    )
    defaults = (DEFAULT_PORT if port is None else port, DEFAULT_ADMIN_PORT if admin_port is None else admin_port)
    notes: list[str] = []
    if chosen != defaults:
        notes.append(f"Port {defaults[0]} or {defaults[1]} is in use: the service uses {chosen[0]} and {chosen[1]}.")
    if sandbox_port is None:
        sandbox_port = DEFAULT_SANDBOX_PORT
        if not _reserve((sandbox_port,), exits):
            sandbox_port = 0
            text = f"Port {DEFAULT_SANDBOX_PORT} is in use: the sandbox uses a free port."
            notes.append(f"{text} A waybill.yaml with the usual address of the sandbox does not reach it.")
    next_port = sandbox_port + 1 if 0 < sandbox_port < PORT_MAX else 0
    mail_port = next_port if _reserve((next_port,), exits) else 0
    return Ports(*chosen, sandbox_port, mail_port, tuple(notes))


def _candidates(port: int | None, admin_port: int | None) -> Iterator[tuple[int, int]]:
    """Yield pairs: given ports stay, default ports increase by two. The last pair is chosen by the system."""
    for step in range(0, 2 * PAIRS_MAX, 2):
        yield (
            DEFAULT_PORT + step if port is None else port,
            DEFAULT_ADMIN_PORT + step if admin_port is None else admin_port,
        )
    yield port or 0, admin_port or 0


def _reserve(ports: Sequence[int], exits: ExitStack) -> bool:
    """Reserve all of these ports, or none. Port 0 needs no reservation."""
    with ExitStack() as reserved:
        for number in filter(None, ports):
            if not _is_free(number):
                return False
            if sys.platform == "linux":
                name = reserved.enter_context(socket.socket(socket.AF_UNIX))
                try:
                    name.bind(f"\0waybill-dev-port-{number}")
                except OSError:
                    return False
        exits.push(reserved.pop_all())
    return True


def _is_free(port: int) -> bool:
    return _find_bind_error(port) is None


def _check_port(option: str, port: int) -> None:
    error = _find_bind_error(port)
    if error is not None:
        reason = f"port {port} cannot be used: {error.strerror}"
        raise ConfigError(option, reason, f"choose another port, or omit {option} for a free port")


def _find_bind_error(port: int) -> OSError | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error
    return None
