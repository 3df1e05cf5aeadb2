"""SSRF guard: blocks calls to private IP addresses. Also parses IP addresses and networks. Pure.

The URL of an `http` action may contain values from a delivery. Calls to loopback, private and link-local addresses,
such as the cloud metadata service at 169.254.169.254, are blocked in every notation. Operators can allow hosts.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from service.errors import ConfigError, PermanentError

Network = IPv4Network | IPv6Network

SPECIAL_PURPOSE_IPV4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "168.63.129.16/32",  # WireServer of Azure, inside a public network
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
"""IANA IPv4 Special-Purpose Address Registry, multicast, and metadata services of clouds."""

PUBLIC_IPV6 = IPv6Network("2000::/3")
"""Global unicast addresses (RFC 4291). All others are special: loopback, private, link-local, multicast, unassigned."""

SPECIAL_PURPOSE_IPV6 = tuple(
    map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"))
)
"""IANA IPv6 Special-Purpose Address Registry, within `PUBLIC_IPV6`. The lists of Python depend on its version."""

NAT64 = IPv6Network("64:ff9b::/96")
"""Well-known prefix of NAT64 (RFC 6052). The last 32 bits are the IPv4 address that is called."""


class SsrfGuard:
    """Blocks IP addresses that are not public, except for the allowed host names and addresses."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed = frozenset(_normalize(host) for host in allowed)

    def check_literal(self, host: str) -> None:
        """Check a host that is an IP address. Host names pass; they are checked after they are resolved.

        Raises:
            PermanentError: `address_blocked`.
        """
        if parse_address(host) is not None:
            self.check_resolved(host, [host])

    def check_resolved(self, host: str, addresses: Iterable[str]) -> None:
        """Check the resolved addresses of a host. All of them must be public, because any of them may be called.

        Raises:
            PermanentError: `address_blocked`.
        """
        if _normalize(host) in self._allowed:
            return
        for text in addresses:
            address = parse_address(text)
            if _normalize(text) not in self._allowed and (address is None or not is_public(address)):
                reason = f"{host} is not a public address; to allow it, add it to outbound.allow_private_hosts"
                raise PermanentError("address_blocked", reason)


@lru_cache(maxsize=1024)  # called for every guarded call, with few different hosts
def parse_address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address in a URL's host (`10.0.0.1`, `::1`, `[::1]`); None for a host name."""
    try:
        return ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def parse_network(text: str) -> Network | None:
    """Return an IP network, or that of a single address; None for other text."""
    try:
        return ip_network(text.removeprefix("[").removesuffix("]"), strict=False)
    except ValueError:
        return None


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Return whether an IP address is public. Also checks IPv4 addresses embedded in IPv6."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in SPECIAL_PURPOSE_IPV4)
    inner = _embedded(address)
    if inner is not None:
        return is_public(inner)
    return address in PUBLIC_IPV6 and not any(address in network for network in SPECIAL_PURPOSE_IPV6)


def _embedded(address: IPv6Address) -> IPv4Address | None:
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped


@lru_cache(maxsize=1024)  # as above
def _normalize(host: str) -> str:
    address = parse_address(host)
    return str(address) if address is not None else host.lower().rstrip(".")


def parse_cidrs(text: str) -> tuple[Network, ...]:
    """Return the networks of WAYBILL_TRUSTED_PROXIES.

    Raises:
        ConfigError: A part is not an IP address or network.
    """
    try:
        return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())
    except ValueError as error:
        fix = "write IP addresses or networks, separated by commas, such as 10.0.0.0/8,fd00::/8"
        raise ConfigError("WAYBILL_TRUSTED_PROXIES", str(error), fix) from None
