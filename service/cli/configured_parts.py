"""Parts of an installation that waybill.yaml configures: platforms and sources."""

import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import cached_property
from pathlib import Path

from service.config import Config
from service.configuration import load_config
from service.destinations.registry import Destinations, DestinationSetup
from service.http_client import HttpClient
from service.ingestion.sources import Source, build_sources
from service.platforms import Platform
from service.platforms.registry import build_platforms
from service.settings import Settings
from service.store import Shards
from service.throttles.throttles import SharedThrottles


class ConfiguredParts:
    """Configuration, platforms and sources. Each may raise ConfigError on first use.

    Without `shared`, platforms are called without the limits, circuit breakers and tokens that all pods share.
    """

    def __init__(self, settings: Settings, http_client: HttpClient, shared: SharedThrottles | None = None) -> None:
        self.settings = settings
        self._http_client = http_client
        self._shared = shared

    @cached_property
    def config(self) -> Config:
        """Configuration file."""
        return load_config(Path(self.settings.config), os.environ)

    @cached_property
    def platforms(self) -> Mapping[str, Platform]:
        """Connectors by account."""
        return build_platforms(
            self.config.platforms, os.environ, self._http_client, self._shared, self.config.record_types
        )

    @cached_property
    def destinations(self) -> Destinations:
        """Destinations, for test calls."""
        return Destinations(
            self.config.destinations, DestinationSetup(http_client=self._http_client, environ=os.environ)
        )

    @cached_property
    def sources(self) -> Mapping[str, Source]:
        """Sources by name."""
        return build_sources(self.config, os.environ, self.platforms, self.settings)


def open_configured_parts(settings: Settings, store: Shards, stack: AsyncExitStack) -> ConfiguredParts:
    """Return the parts with an HTTP client, which `stack` closes, and with the state that all pods share."""
    http_client = HttpClient(settings)
    stack.push_async_callback(http_client.close)
    shared = SharedThrottles(store.home.limits, store.home.tokens, settings.fetch_timeout_seconds)
    return ConfiguredParts(settings, http_client, shared)
