"""Client address of a delivery: the peer's, or the one in X-Forwarded-For if the peer is a trusted proxy. Pure."""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from service.ssrf_guard import Network
from service.trusted_proxies import is_address, is_trusted, unmapped

HOPS_MAX = 10
HOP_CHARACTERS_MAX = 64
IPV6_PREFIX_BITS = 64
"""An IPv6 sender usually controls a /64, so all its addresses count as one."""


def client_address(peer: str, headers: Mapping[str, str], trusted: tuple[Network, ...]) -> str:
    """Return the last untrusted address of X-Forwarded-For. Entries left of it can be forged."""
    peer = unmapped(peer)
    if not trusted or not is_trusted(peer, trusted):
        return peer
    for hop in reversed(headers.get("x-forwarded-for", "").rsplit(",", HOPS_MAX)[-HOPS_MAX:]):
        address = _parse_hop(hop.strip())
        if address is None:
            break
        peer = address
        if not is_trusted(address, trusted):
            break
    return peer


# Cached, since it runs for each delivery while any address is limited. Bounded, since attackers have many addresses.
@lru_cache(maxsize=4_096)
def address_block(address: str) -> str:
    """Return the rate limit key of an address: the IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, IPV6_PREFIX_BITS), strict=False))


def _parse_hop(hop: str) -> str | None:
    """Return the address of a hop without its optional port, None if it is not an address."""
    # A zone, as in fe80::1%eth0, has a meaning only on the proxy's own machine.
    if len(hop) > HOP_CHARACTERS_MAX or "%" in hop:
        return None
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    return hop if is_address(hop) else None
