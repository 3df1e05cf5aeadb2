"""Addresses: those a rule may make us call (the public internet, and what the operator allows by name), and networks.

An `http` action's URL may hold text that came from outside, so a call to our own network (loopback, private ranges,
link-local with the cloud's metadata service at 169.254.169.254) is refused, however the address is written. Pure.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from service.errors import ConfigError, PermanentError

Network = IPv4Network | IPv6Network

NAT64 = IPv6Network("64:ff9b::/96")
"""The well-known prefix of RFC 6052; its last 32 bits are an IPv4 address that the network will really call."""


class SsrfGuard:
    """Refuses what is not public, but for the allowed host names and addresses."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed = frozenset(_normal(host) for host in allowed)

    def check_literal(self, host: str) -> None:
        """Refuse a host that is itself an address; names pass, they are checked once resolved.

        Raises:
            PermanentError: `address_blocked`.
        """
        if parse_address(host) is not None:
            self.check_resolved(host, [host])

    def check_resolved(self, host: str, addresses: Iterable[str]) -> None:
        """Refuse a host of which any address is not public: a mixed answer is how a name is bent to our network.

        Raises:
            PermanentError: `address_blocked`.
        """
        if _normal(host) in self._allowed:
            return
        for text in addresses:
            address = parse_address(text)
            if _normal(text) not in self._allowed and (address is None or not is_public(address)):
                reason = f"{host} is no public address; outbound.allow_private_hosts of waybill.yaml lets it be reached"
                raise PermanentError("address_blocked", reason)


@lru_cache(maxsize=1024)  # every guarded call asks, mostly about the few hosts that rules name
def parse_address(host: str) -> IPv4Address | IPv6Address | None:
    """Read an address as URLs write it (`10.0.0.1`, `::1`, `[::1]`); None for a host name."""
    try:
        return ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Say whether an address is on the public internet, looking through IPv4 wrapped in IPv6."""
    if isinstance(address, IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast


def _embedded(address: IPv6Address) -> IPv4Address | None:
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


@lru_cache(maxsize=1024)  # likewise
def _normal(host: str) -> str:
    address = parse_address(host)
    return str(address) if address is not None else host.lower().rstrip(".")


def parse_cidrs(text: str) -> tuple[Network, ...]:
    """Read WAYBILL_TRUSTED_PROXIES.

    Raises:
        ConfigError: a part is neither an address nor a network.
    """
    try:
        return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())
    except ValueError as error:
        fix = "write addresses or networks by commas, such as 10.0.0.0/8,fd00::/8"
        raise ConfigError("WAYBILL_TRUSTED_PROXIES", str(error), fix) from None
