"""Whose address a delivery came from: the peer's, or, behind proxies the operator trusts, the one they saw. Pure."""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from service.errors import ConfigError

Network = IPv4Network | IPv6Network

HOPS_MAX = 10
HOUSEHOLD_BITS = 64
"""An IPv6 sender has at least a /64 to itself, so its addresses count as one."""


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read WAYBILL_TRUSTED_PROXIES.

    Raises:
        ConfigError: a part is neither an address nor a network.
    """
    try:
        return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())
    except ValueError as error:
        fix = "write addresses or networks by commas, such as 10.0.0.0/8,fd00::/8"
        raise ConfigError("WAYBILL_TRUSTED_PROXIES", str(error), fix) from None


def sender_of(peer: str, headers: Mapping[str, str], trusted: tuple[Network, ...]) -> str:
    """Give the last address that no trusted proxy has: what stands left of it in X-Forwarded-For anyone may write."""
    if not trusted or not _is_trusted(peer, trusted):
        return peer
    hops = [hop.strip() for hop in headers.get("x-forwarded-for", "").rsplit(",", HOPS_MAX)[-HOPS_MAX:]]
    for hop in reversed(hops):
        if not _is_address(hop):
            break
        peer = hop
        if not _is_trusted(hop, trusted):
            break
    return peer


@lru_cache(maxsize=4_096)
def household(address: str) -> str:
    """Give what an address is counted under: itself, or its network of 64 bits."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, HOUSEHOLD_BITS), strict=False))


@lru_cache(maxsize=4_096)
def _is_trusted(address: str, trusted: tuple[Network, ...]) -> bool:
    return _is_address(address) and any(ip_address(address) in network for network in trusted)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
