"""Whose address a delivery came from: the peer's, or, behind proxies the operator trusts, the one they saw. Pure."""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from service.ssrf_guard import Network

HOPS_MAX = 10
HOP_CHARACTERS_MAX = 64
IPV6_PREFIX_BITS = 64
"""An IPv6 sender has at least a /64 to itself, so its addresses count as one."""


def client_address(peer: str, headers: Mapping[str, str], trusted: tuple[Network, ...]) -> str:
    """Give the last address that no trusted proxy has: what stands left of it in X-Forwarded-For anyone may write."""
    if not trusted or not _is_trusted(peer, trusted):
        return peer
    for hop in reversed(headers.get("x-forwarded-for", "").rsplit(",", HOPS_MAX)[-HOPS_MAX:]):
        address = _address_in(hop.strip())
        if address is None:
            break
        peer = address
        if not _is_trusted(address, trusted):
            break
    return peer


# Asked at each delivery while anybody is charged; bounded, since an attacker has many addresses.
@lru_cache(maxsize=4_096)
def address_block(address: str) -> str:
    """Give what an address is counted under: itself, or its network of 64 bits."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, IPV6_PREFIX_BITS), strict=False))


@lru_cache(maxsize=4_096)
def _is_trusted(address: str, trusted: tuple[Network, ...]) -> bool:
    return _is_address(address) and any(ip_address(address) in network for network in trusted)


def _address_in(hop: str) -> str | None:
    """Give the address of a hop without the port that some proxies write behind it; None for anything else."""
    # A zone, as in fe80::1%eth0, means something on the proxy's own machine alone.
    if len(hop) > HOP_CHARACTERS_MAX or "%" in hop:
        return None
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    return hop if _is_address(hop) else None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
