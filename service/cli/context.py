"""Settings and configuration of a command that needs no store."""

import contextlib
import os
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

from msgspec import Struct

from service.config import Config
from service.config.startup import extend_retention_to_dedupe_windows
from service.http_client import HttpClient
from service.ingestion.sources import Source, build_sources
from service.platforms import Platform
from service.platforms.loading import load_config
from service.platforms.registry import build_platforms
from service.settings import Settings, load_settings


class CliContext(Struct, frozen=True):
    """Settings, configuration, platforms and sources of a command."""

    settings: Settings
    config: Config
    platforms: Mapping[str, Platform]
    sources: Mapping[str, Source]


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
