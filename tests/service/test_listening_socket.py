"""Listening sockets: families of the host."""

import socket

import pytest

from service.errors import ConfigError
from service.listening_socket import bind


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


BOTH = ["::1", "127.0.0.1"]
IPV6_HOSTS = [("::", BOTH), ("[::]", BOTH), ("::1", ["::1"])] if has_ipv6() and socket.has_dualstack_ipv6() else []


@pytest.mark.parametrize(("host", "clients"), [("127.0.0.1", ["127.0.0.1"]), *IPV6_HOSTS])
def test_host_accepts_clients_of_its_families(host: str, clients: list[str]) -> None:
    accepted: list[str] = []
    with bind(host, 0, "WAYBILL_PORT") as listener:
        for client in ("::1", "127.0.0.1"):
            try:
                socket.create_connection((client, listener.getsockname()[1]), 5).close()
            except OSError:
                continue
            accepted.append(client)
    assert accepted == clients


def test_unknown_host_names_the_setting() -> None:
    with pytest.raises(ConfigError, match=r"WAYBILL_PORT: cannot listen on 203\.0\.113\.1:0"):
        bind("203.0.113.1", 0, "WAYBILL_PORT")
