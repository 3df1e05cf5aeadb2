"""The parts a command needs, joined from the environment and waybill.yaml, and closed behind it."""

import contextlib
import os
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

from msgspec import Struct

from service.cli.dev_instance import adopt_dev_instance
from service.config import Config
from service.config.startup import extend_retention_to_dedupe_windows
from service.http_client import HttpClient
from service.ingestion.sources import Source, build_sources
from service.platforms import Platform
from service.platforms.loading import load_config
from service.platforms.registry import build_platforms
from service.settings import Settings, load_settings
from service.store import Shards, Store, open_shards


class CliContext(Struct, frozen=True):
    """What is configured, built."""

    settings: Settings
    config: Config
    platforms: Mapping[str, Platform]
    sources: Mapping[str, Source]


def settings_from_environ() -> Settings:
    """Read the settings of the environment, or of a running `waybill dev` if the environment names no installation.

    Raises:
        ConfigError: a mistake in them.
    """
    adopt_dev_instance(os.environ)
    return load_settings(os.environ)


@contextlib.asynccontextmanager
async def open_context() -> AsyncGenerator[CliContext]:
    """Build what is configured; nothing is connected.

    Raises:
        ConfigError: a mistake in it.
    """
    settings = load_settings(os.environ)
    config = load_config(Path(settings.config), os.environ)
    settings = extend_retention_to_dedupe_windows(settings, config)
    async with HttpClient(settings, config.outbound.allow_private_hosts) as outbound:
        platforms = build_platforms(config.platforms, os.environ, outbound)
        sources = build_sources(config, os.environ, platforms, settings)
        yield CliContext(settings, config, platforms, sources)


@contextlib.asynccontextmanager
async def open_stores(settings: Settings) -> AsyncGenerator[tuple[Store | Shards, list[Store]]]:
    """Open what events are taken in by, and give it with each store behind it.

    Raises:
        ConfigError, StoreUnavailable, StoreUnsafe: as `open_shards`.
    """
    opened = await open_shards(settings)
    try:
        yield opened, list(opened.stores) if isinstance(opened, Shards) else [opened]
    finally:
        await opened.close()
