"""SSRF guard: blocked and allowed addresses. Without network."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import PermanentError
from service.ssrf_guard import SsrfGuard, is_public, parse_address

OURS = [
    "127.0.0.1",
    "127.8.9.10",
    "0.0.0.0",  # noqa: S104 - a blocked address
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "224.0.0.1",
    "239.255.255.250",
    "255.255.255.255",
    "240.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2002:a00:1::",
    "168.63.129.16",
    "192.0.0.192",
    "192.88.99.1",
    "64:ff9b:1::1",
    "64:ff9b:1::101:101",
    "::127.0.0.1",
    "::1.1.1.1",
    "100::1",
    "2001::1",
    "2001:2::1",
    "2001:20::1",
    "2002:101:101::",
    "2620:4f:8000::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fe80::1.1.1.1",
]
PUBLIC = ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]


@pytest.mark.parametrize("address", OURS)
def test_private_address_is_blocked_in_every_notation(address: str) -> None:
    with pytest.raises(PermanentError) as raised:
        SsrfGuard().check_literal(address)
    assert raised.value.kind == "address_blocked"
    assert "add it to outbound.allow_private_hosts" in str(raised.value)


@pytest.mark.parametrize("address", OURS)
def test_name_that_resolves_to_a_private_address_is_blocked(address: str) -> None:
    with pytest.raises(PermanentError, match=r"hooks\.example\.com"):
        SsrfGuard().check_resolved("hooks.example.com", [address])


def test_one_private_address_among_public_ones_blocks_the_name() -> None:
    with pytest.raises(PermanentError):
        SsrfGuard().check_resolved("hooks.example.com", ["1.1.1.1", "10.0.0.1"])


def test_invalid_resolver_result_is_blocked() -> None:
    with pytest.raises(PermanentError):
        SsrfGuard().check_resolved("hooks.example.com", ["not an address"])


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_is_allowed(address: str) -> None:
    SsrfGuard().check_literal(address)
    SsrfGuard().check_resolved("hooks.example.com", [address])


def test_name_is_checked_after_it_is_resolved() -> None:
    SsrfGuard().check_literal("localhost")


@pytest.mark.parametrize(
    ("allowed", "host", "address"),
    [
        ("erp.internal", "erp.internal", "10.0.0.5"),
        ("ERP.Internal.", "erp.internal", "10.0.0.5"),
        ("erp.internal", "erp.internal.", "10.0.0.5"),
        ("10.0.0.5", "erp.internal", "10.0.0.5"),
        ("10.0.0.5", "10.0.0.5", "10.0.0.5"),
        ("[::1]", "::1", "::1"),
        ("0:0:0:0:0:0:0:1", "[::1]", "::1"),
    ],
)
def test_allowed_names_and_addresses_are_not_blocked(allowed: str, host: str, address: str) -> None:
    guard = SsrfGuard([allowed])
    guard.check_literal(host)
    guard.check_resolved(host, [address])


def test_allowed_name_does_not_allow_other_names() -> None:
    with pytest.raises(PermanentError):
        SsrfGuard(["erp.internal"]).check_resolved("erp.internal.example.com", ["10.0.0.5"])


@given(st.ip_addresses(v=4))
def test_ipv4_address_embedded_in_ipv6_is_checked(address: IPv4Address) -> None:
    for wrapped in (IPv6Address(f"::ffff:{address}"), IPv6Address(f"64:ff9b::{address}")):
        assert is_public(wrapped) == is_public(address)


@given(st.ip_addresses())
def test_brackets_of_ipv6_addresses_are_ignored(address: IPv4Address | IPv6Address) -> None:
    assert parse_address(f"[{address}]") == parse_address(str(address)) == address
