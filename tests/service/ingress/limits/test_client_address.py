"""Client address behind trusted and untrusted proxies."""

import pytest

from service.errors import ConfigError
from service.ingress.limits.client_address import address_block, client_address
from service.ssrf_guard import parse_cidrs

TRUSTED = parse_cidrs("10.0.0.0/8, fd00::/8,192.0.2.1")


@pytest.mark.parametrize(
    ("peer", "forwarded", "sender"),
    [
        ("198.51.100.7", "203.0.113.9", "198.51.100.7"),
        ("10.1.2.3", "203.0.113.9", "203.0.113.9"),
        ("10.1.2.3", "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        ("10.1.2.3", "203.0.113.9, 10.9.9.9", "203.0.113.9"),
        ("10.1.2.3", "203.0.113.9, 192.0.2.1, fd00::1", "203.0.113.9"),
        ("10.1.2.3", "10.4.4.4", "10.4.4.4"),
        ("10.1.2.3", "", "10.1.2.3"),
        ("10.1.2.3", "unknown", "10.1.2.3"),
        ("10.1.2.3", "203.0.113.9, nonsense", "10.1.2.3"),
        ("10.1.2.3", ", ".join(["10.0.0.1"] * 50 + ["203.0.113.9"]), "203.0.113.9"),
        ("10.1.2.3", "203.0.113.9:50123", "203.0.113.9"),
        ("10.1.2.3", "203.0.113.9, 10.9.9.9:80", "203.0.113.9"),
        ("10.1.2.3", "[2001:db8::1]:50123", "2001:db8::1"),
        ("10.1.2.3", "[2001:db8::1]", "2001:db8::1"),
        ("10.1.2.3", "2001:db8::1", "2001:db8::1"),
        ("10.1.2.3", "fe80::1%" + "a" * 9_000, "10.1.2.3"),
        ("10.1.2.3", "fe80::1%eth0", "10.1.2.3"),
        ("10.1.2.3", ":80", "10.1.2.3"),
        ("::ffff:10.1.2.3", "203.0.113.9, ::ffff:10.1.2.4", "203.0.113.9"),
        ("::ffff:198.51.100.7", "203.0.113.9", "198.51.100.7"),
        ("", "203.0.113.9", ""),
    ],
)
def test_client_address_is_the_last_untrusted_hop(peer: str, forwarded: str, sender: str) -> None:
    assert client_address(peer, {"x-forwarded-for": forwarded}, TRUSTED) == sender


def test_forwarded_for_is_ignored_without_trusted_proxies() -> None:
    assert client_address("10.1.2.3", {"x-forwarded-for": "203.0.113.9"}, parse_cidrs("")) == "10.1.2.3"


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("no address", "no address"),
    ],
)
def test_ipv6_addresses_are_counted_per_64_bit_network(address: str, key: str) -> None:
    assert address_block(address) == key


def test_invalid_trusted_proxy_is_a_config_error() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_cidrs("10.0.0.0/8, everyone")
    assert caught.value.path == "WAYBILL_TRUSTED_PROXIES"
