"""Egress of outgoing calls: the HTTP proxy of each URL, and the trusted certificate authorities."""

import ssl
from base64 import b64encode
from collections.abc import Mapping

from msgspec import Struct

from service.errors import ConfigError
from service.http_url import HttpUrl, parse_http_url
from service.outbound_settings import OutboundSettings
from service.ssrf_guard import Network, parse_address, parse_network

VARIABLES = {"https": ("https_proxy", "HTTPS_PROXY"), "http": ("http_proxy",)}
"""Usual variables by the scheme of the target. A CGI server sets HTTP_PROXY from a header of the request."""
NO_PROXY_VARIABLES = ("no_proxy", "NO_PROXY")
PROXY_FIX = "write http://host:port, with user and password in front of the host if the proxy requires them"


PROXY_SETTING = "WAYBILL_OUTBOUND_PROXY_URL"


class ProxyRoute(Struct, frozen=True):
    """Proxy of a call, None for a direct call. `setting` is its place in the configuration, for errors."""

    url: HttpUrl | None
    setting: str = PROXY_SETTING

    @property
    def secrets(self) -> tuple[str, ...]:
        """Password of the proxy, plain and as HTTP Basic sends it (RFC 7617)."""
        if self.url is None or self.url.password is None:
            return ()
        pair = f"{self.url.user}:{self.url.password}"
        return (self.url.password, b64encode(pair.encode()).decode())


DIRECT_ROUTE = ProxyRoute(None)


class Proxies(Struct, frozen=True):
    """Proxies by scheme of the target, and the hosts that are called without one. Loopback is called without one."""

    by_scheme: Mapping[str, HttpUrl]
    bypass_hosts: tuple[str, ...] = ()
    bypass_networks: tuple[Network, ...] = ()

    def find(self, target: HttpUrl) -> HttpUrl | None:
        """Return the proxy for a URL; None for a direct call."""
        proxy = self.by_scheme.get(target.scheme)
        return None if proxy is None or self._is_bypassed(target) else proxy

    def route(self, target: HttpUrl) -> ProxyRoute:
        """Return the route for a URL."""
        proxy = self.find(target)
        return DIRECT_ROUTE if proxy is None else ProxyRoute(proxy)

    def _is_bypassed(self, target: HttpUrl) -> bool:
        host = target.host.rstrip(".")
        address = parse_address(host)
        if address is not None and (address.is_loopback or any(address in each for each in self.bypass_networks)):
            return True
        names = (host, f"{host}:{target.port}")
        return host == "localhost" or any(
            each == "*" or each in names or host.endswith(f".{each}") for each in self.bypass_hosts
        )


def build_proxies(settings: OutboundSettings, environ: Mapping[str, str]) -> Proxies:
    """Return the proxies of the settings, or of the usual variables if the settings ask for them.

    Raises:
        ConfigError: The URL of a proxy is not valid.
    """
    if settings.outbound_proxy_url:
        proxy = parse_proxy_url(PROXY_SETTING, settings.outbound_proxy_url)
        return Proxies({"https": proxy, "http": proxy}, *_bypass(settings.outbound_no_proxy))
    if not settings.outbound_proxy_variables:
        return Proxies({})
    found = {scheme: _first(environ, names) for scheme, names in VARIABLES.items()}
    by_scheme = {scheme: parse_proxy_url(name, value) for scheme, (name, value) in found.items() if value}
    written = (settings.outbound_no_proxy, _first(environ, NO_PROXY_VARIABLES)[1])
    return Proxies(by_scheme, *_bypass(",".join(filter(None, written))))


def tls_context(settings: OutboundSettings) -> ssl.SSLContext | None:
    """Return the TLS context for the settings; None for the default one.

    Raises:
        ConfigError: The file of certificate authorities cannot be read.
    """
    if not settings.outbound_ca_file:
        return None
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(settings.outbound_ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = f"cannot be read: {error.strerror or type(error).__name__}"
        fix = "give the path of a PEM file with certificates"
        raise ConfigError("WAYBILL_OUTBOUND_CA_FILE", reason, fix) from None
    return context


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, str]:
    return next(((name, environ[name]) for name in names if environ.get(name)), (names[-1], ""))


def parse_proxy_url(path: str, text: str) -> HttpUrl:
    """Parse the URL of a proxy. `path` is its place in the configuration.

    Raises:
        ConfigError: The URL is not valid. The error does not contain it: it may have a password.
    """
    try:
        url = parse_http_url(text if "://" in text else f"http://{text}")
    except ValueError:
        raise ConfigError(path, "is not the URL of an HTTP proxy", PROXY_FIX) from None
    if url.scheme != "http":
        raise ConfigError(path, "is not the URL of an HTTP proxy", PROXY_FIX)
    return url


def _bypass(text: str) -> tuple[tuple[str, ...], tuple[Network, ...]]:
    """Return the names and the networks of a NO_PROXY list. A name stands for its subdomains too."""
    parts = [part.strip().lower() for part in text.split(",") if part.strip()]
    networks = [parse_network(part) for part in parts]
    names = [part.removeprefix("*").lstrip(".") if len(part) > 1 else part for part in parts]
    return (
        tuple(name for name, network in zip(names, networks, strict=True) if network is None),
        tuple(network for network in networks if network is not None),
    )
