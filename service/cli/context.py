"""Settings, configuration and stores of a command, opened and closed."""

import contextlib
import os
from collections.abc import AsyncGenerator, Mapping
from functools import cache
from pathlib import Path

from msgspec import Struct

from service.actions import load_actions
from service.cli.dev_instance import adopt_dev_instance
from service.config import Config
from service.config.startup import extend_retention_to_dedupe_windows
from service.http_client import HttpClient
from service.ingestion.sources import Source, build_sources
from service.management.installation import Installation
from service.platforms import Platform
from service.platforms.loading import load_config
from service.platforms.registry import SharedState, build_platforms
from service.settings import Settings, load_settings
from service.store import Shards, Store, open_shards


class CliContext(Struct, frozen=True):
    """Settings, configuration, platforms and sources of a command."""

    settings: Settings
    config: Config
    platforms: Mapping[str, Platform]
    sources: Mapping[str, Source]


def settings_from_environ() -> Settings:
    """Load the settings of the environment, or of a running `waybill dev` if the environment names no store.

    Raises:
        ConfigError: A setting is not valid.
    """
    adopt_dev_instance(os.environ)
    return load_settings(os.environ)


@contextlib.asynccontextmanager
async def open_context() -> AsyncGenerator[CliContext]:
    """Load the configuration and build platforms and sources, without a connection.

    Raises:
        ConfigError: A setting or the configuration is not valid.
    """
    settings = load_settings(os.environ)
    config = load_config(Path(settings.config), os.environ)
    settings = extend_retention_to_dedupe_windows(settings, config)
    async with HttpClient(settings, config.outbound.allow_private_hosts) as http_client:
        platforms = build_platforms(config.platforms, os.environ, http_client)
        sources = build_sources(config, os.environ, platforms, settings)
        yield CliContext(settings, config, platforms, sources)


@contextlib.asynccontextmanager
async def open_stores(settings: Settings) -> AsyncGenerator[Store | Shards]:
    """Open the store, or all shards.

    Raises:
        ConfigError, StoreUnavailable, StoreNotDurable: As `open_shards`.
    """
    opened = await open_shards(settings)
    try:
        yield opened
    finally:
        await opened.close()


def local_installation(
    settings: Settings,
    environ: Mapping[str, str],
    store: Store | Shards,
    http_client: HttpClient,
    shared: SharedState | None,
) -> Installation:
    """Return the installation of the environment. The configuration is loaded on first use.

    Without `shared`, platforms are called without the limits, circuit breakers and tokens that all pods share.
    """
    path = Path(settings.config)

    @cache
    def config() -> Config:
        return load_config(path, environ)

    @cache
    def platforms() -> Mapping[str, Platform]:
        return build_platforms(config().platforms, environ, http_client, shared)

    @cache
    def sources() -> Mapping[str, Source]:
        return build_sources(config(), environ, platforms(), settings)

    return Installation(
        open_store=lambda: store,
        config=config,
        platforms=platforms,
        sources=sources,
        actions=load_actions,
        is_configured=path.exists(),
    )
