"""Ports of `waybill dev`: given ports are checked, default ports move together to the next free pair."""

import socket
from contextlib import ExitStack

import pytest

from service.dev import ports
from service.dev.ports import choose_ports
from service.errors import ConfigError


@pytest.fixture
def defaults(monkeypatch: pytest.MonkeyPatch) -> int:
    """Use three ports for defaults that are free on this machine. Return the first one."""
    with ExitStack() as reserved:
        first = next(
            port
            for port in range(20_000, 60_000, 100)
            if ports._reserve((port + 90,), reserved) and all(ports._is_free(port + step) for step in range(100))
        )
    monkeypatch.setattr(ports, "DEFAULT_PORT", first)
    monkeypatch.setattr(ports, "DEFAULT_ADMIN_PORT", first + 1)
    monkeypatch.setattr(ports, "DEFAULT_SANDBOX_PORT", first + 91)
    return first


def test_the_default_ports_are_used_without_a_note(defaults: int) -> None:
    with ExitStack() as exits:
        chosen = choose_ports(None, None, exits)
    assert (chosen.port, chosen.admin_port, chosen.sandbox_port) == (defaults, defaults + 1, defaults + 91)
    assert chosen.mail_port == defaults + 92
    assert chosen.notes == ()


def test_a_port_in_use_moves_both_to_the_next_pair_with_a_note(defaults: int) -> None:
    with ExitStack() as exits, socket.create_server(("127.0.0.1", defaults + 1)):
        chosen = choose_ports(None, None, exits)
    assert (chosen.port, chosen.admin_port) == (defaults + 2, defaults + 3)
    assert chosen.notes == (
        f"Port {defaults} or {defaults + 1} is in use: the service uses {defaults + 2} and {defaults + 3}.",
    )


def test_ports_that_another_dev_chose_are_in_use_before_it_listens(defaults: int) -> None:
    with ExitStack() as first, ExitStack() as second:
        choose_ports(None, None, first)
        chosen = choose_ports(None, None, second)
        assert (chosen.port, chosen.admin_port, chosen.sandbox_port) == (defaults + 2, defaults + 3, 0)
        assert chosen.notes[1].startswith(f"Port {defaults + 91} is in use: the sandbox uses a free port.")
    with ExitStack() as third:
        assert choose_ports(None, None, third).port == defaults, "the ports are released at the end"


def test_a_given_port_stays_and_the_other_one_is_chosen(defaults: int) -> None:
    with ExitStack() as exits, socket.create_server(("127.0.0.1", defaults + 1)):
        chosen = choose_ports(defaults + 50, None, exits)
        assert (chosen.port, chosen.admin_port) == (defaults + 50, defaults + 3)


def test_a_given_port_in_use_and_one_port_for_both_are_rejected(defaults: int) -> None:
    with ExitStack() as exits, socket.create_server(("127.0.0.1", defaults)):
        with pytest.raises(ConfigError, match=f"--port: port {defaults} cannot be used"):
            choose_ports(defaults, None, exits)
        with pytest.raises(ConfigError, match=r"--admin-port: port 9 is also given as --port"):
            choose_ports(9, 9, exits)
        with pytest.raises(ConfigError, match=f"--sandbox-port: port {defaults} cannot be used"):
            choose_ports(0, 0, exits, defaults)


def test_mail_server_uses_a_free_port_if_the_one_after_the_sandbox_is_in_use(defaults: int) -> None:
    with ExitStack() as exits, socket.create_server(("127.0.0.1", defaults + 92)):
        assert choose_ports(None, None, exits).mail_port == 0
    with ExitStack() as exits:
        assert [choose_ports(0, 0, exits, port).mail_port for port in (0, ports.PORT_MAX)] == [0, 0]


def test_zero_is_any_free_port_without_a_note(defaults: int) -> None:
    with ExitStack() as exits:
        chosen = choose_ports(0, 0, exits)
    assert (chosen.port, chosen.admin_port, chosen.notes) == (0, 0, ())
    assert chosen.sandbox_port == defaults + 91
