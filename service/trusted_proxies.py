"""Trusted proxies: the networks of WAYBILL_TRUSTED_PROXIES, whose X-Forwarded-For is read. Pure."""

from collections.abc import Iterator
from functools import lru_cache
from ipaddress import ip_address

from service.ssrf_guard import Network, parse_cidrs

MAPPED_PREFIX = "::ffff:"


@lru_cache(maxsize=4_096)
def is_trusted(address: str, trusted: tuple[Network, ...]) -> bool:
    """Return true if the address is in one of the networks."""
    return is_address(address) and any(ip_address(unmapped(address)) in network for network in trusted)


def is_address(text: str) -> bool:
    """Return whether the text is an IP address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def unmapped(address: str) -> str:
    """Return the IPv4 address of an IPv4-mapped one, which a socket for both families has for IPv4 clients."""
    return address[len(MAPPED_PREFIX) :] if address.startswith(MAPPED_PREFIX) and "." in address else address


def proxy_warnings(trusted_proxies: str) -> Iterator[str]:
    """Yield a warning for each network of WAYBILL_TRUSTED_PROXIES that contains every address.

    Raises:
        ConfigError: A part is not an IP address or network.
    """
    for network in parse_cidrs(trusted_proxies):
        if network.prefixlen == 0:
            reason = f"WAYBILL_TRUSTED_PROXIES: {network} trusts everyone, so that any client can choose its address"
            yield f"{reason} in X-Forwarded-For and escape its rate limit. Fix: name only your proxies"
