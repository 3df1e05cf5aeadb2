"""Registry of destinations: the one list of kinds, and the destinations built from waybill.yaml."""

import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar, Union
from urllib.parse import urlsplit

from msgspec import Struct

from service.config.destinations import DestinationConfig
from service.destinations.destination import Destination
from service.destinations.email import EMAIL
from service.destinations.http import HTTP, HttpConfig, HttpDestination
from service.destinations.kind import DestinationDependencies, DestinationKind
from service.destinations.slack import SLACK
from service.destinations.teams import TEAMS
from service.destinations.webhook import WEBHOOK
from service.errors import PermanentError, TransientError
from service.http_client import HttpClient
from service.throttles.throttles import SharedThrottles

KINDS = (HTTP, SLACK, TEAMS, EMAIL, WEBHOOK)
"""Every kind of destination. A new kind is added here."""

DESTINATION_KINDS: Mapping[str, DestinationKind] = {kind.name: kind for kind in KINDS}
CONFIG_TYPE: Any = Union[tuple(kind.config for kind in KINDS)]  # noqa: UP007 - built from a list
"""The type of a destination in waybill.yaml: the union of the structs of all kinds."""
DestinationT = TypeVar("DestinationT")
DEFAULT_PORTS = {"http": 80, "https": 443}
HOSTS_MAX = 10_000
"""Hosts of plain URLs that are kept. Their number is that of the rules: no template contains a host."""


class DestinationSetup(Struct, frozen=True, kw_only=True):
    """Resources of all destinations. `clock` returns seconds since the epoch."""

    http_client: HttpClient
    environ: Mapping[str, str]
    throttles: SharedThrottles | None = None
    clock: Callable[[], float] = time.time


class Destinations:
    """Destinations of a process: those of waybill.yaml by name, and one for each host of a plain URL.

    Raises:
        ConfigError: A secret or a certificate of a destination cannot be read.
    """

    def __init__(self, configs: Mapping[str, DestinationConfig], setup: DestinationSetup) -> None:
        self._setup = setup
        self._by_host: dict[str, HttpDestination] = {}
        self.by_name: Mapping[str, Destination] = {name: self._build(name, config) for name, config in configs.items()}

    def find(self, name: str, expected: type[DestinationT]) -> DestinationT:
        """Return a destination of waybill.yaml. `expected` is the class of its kind.

        Raises:
            TransientError: `unknown_destination`: in a rolling deployment a newer worker may have it.
            PermanentError: `wrong_destination`: the destination is of another kind.
        """
        if name not in self.by_name:
            fix = "add it to destinations: of waybill.yaml, or correct the rule"
            raise TransientError("unknown_destination", f"no destination {name!r} is configured here; {fix}")
        found = self.by_name[name]
        if not isinstance(found, expected):
            kind = found.config.__struct_config__.tag
            raise PermanentError("wrong_destination", f"{name} is a destination of kind {kind}; use `do: {kind}`")
        return found

    def host(self, url: str) -> HttpDestination:
        """Return the destination of the host of a plain URL, with default limits.

        Raises:
            PermanentError: `invalid_url`: the URL has no valid host and port.
        """
        end = url.find("/", len("https://"))
        name, base = _host_of(url[:end] if end > 0 else url)
        if name not in self._by_host:
            if len(self._by_host) >= HOSTS_MAX:
                self._by_host.clear()
            self._by_host[name] = HttpDestination(
                name, HttpConfig(url=base), self._dependencies(name, HttpConfig(url=base))
            )
        return self._by_host[name]

    def unordered(self) -> frozenset[str]:
        """Return the names of the destinations whose effects have no order."""
        return frozenset(name for name, destination in self.by_name.items() if not destination.config.ordered)

    def _build(self, name: str, config: DestinationConfig) -> Destination:
        kind = DESTINATION_KINDS[str(config.__struct_config__.tag)]
        return kind.destination(name, config, self._dependencies(name, config))

    def _dependencies(self, name: str, config: DestinationConfig) -> DestinationDependencies:
        setup = self._setup
        if setup.throttles is None:
            return DestinationDependencies(http_client=setup.http_client, environ=setup.environ, clock=setup.clock)
        return DestinationDependencies(
            http_client=setup.http_client,
            environ=setup.environ,
            throttle=setup.throttles.destination(name, config.throttle_config()),
            token_cache=setup.throttles.token_cache,
            clock=setup.clock,
        )


@lru_cache(maxsize=HOSTS_MAX)
def _host_of(url: str) -> tuple[str, str]:
    """Return host and port of a URL, and the URL without path."""
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        raise PermanentError("invalid_url", "the host of the URL is malformed: check the rule") from None
    return f"{parts.hostname}:{port}", f"{parts.scheme}://{parts.netloc}"
