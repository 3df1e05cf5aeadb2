"""`waybill serve`: build the ingress from settings, waybill.yaml and the store, and run it."""

import os
from contextlib import AsyncExitStack
from functools import cache, partial
from pathlib import Path

import click
import uvloop

from service.actions import load_actions
from service.config import Config
from service.config.startup import extend_retention_to_dedupe_windows, log_config_warnings
from service.configuration import load_config
from service.destinations.registry import Destinations, DestinationSetup
from service.http_client import HttpClient
from service.ingestion.sources import build_sources
from service.ingress.admin import admin_router
from service.ingress.console import console_router
from service.ingress.plugins import load_plugins
from service.ingress.server import run
from service.ingress.store_monitor import StoreMonitor
from service.log import configure
from service.management.installation import Installation
from service.platforms.registry import build_platforms
from service.settings import Settings, load_settings
from service.store import Shards, Store, open_shards
from service.store.shards import shards_with
from service.throttles.throttles import SharedThrottles


@click.command(epilog="\b\nExample:\n  WAYBILL_REDIS_URL=redis://127.0.0.1:6379/0 waybill serve")
def serve() -> None:
    """Run the service: webhooks, health checks, the admin API and the console.

    Webhooks are on WAYBILL_PORT (default 8080); health checks, metrics, the admin API and the console are on
    WAYBILL_ADMIN_PORT (default 8081). SIGTERM drains.
    """
    configure("service")
    settings = load_settings(os.environ)
    configure("service", settings.log_level, settings.log_line_bytes_max, buffered=True)
    config = load_config(Path(settings.config), os.environ)
    settings = extend_retention_to_dedupe_windows(settings, config)
    log_config_warnings(config)
    uvloop.run(_serve(settings, config))


async def _serve(settings: Settings, config: Config) -> None:
    # Connectors parse deliveries here. Only an operator's query calls a platform, within the workers' shared throttle.
    shared = shards_with(Store(settings, check_installation=True))
    home = shared.stores[0] if isinstance(shared, Shards) else shared
    throttles = SharedThrottles(home.limits, home.tokens, settings.fetch_timeout_seconds)
    async with (
        HttpClient(settings, allow_private_hosts=config.outbound.allow_private_hosts) as outbound,
        AsyncExitStack() as stack,
    ):
        stack.push_async_callback(shared.close)
        platforms = build_platforms(config.platforms, os.environ, outbound, throttles, config.record_types)
        sources = build_sources(config, os.environ, platforms, settings)
        destinations = Destinations(config.destinations, DestinationSetup(http_client=outbound, environ=os.environ))
        store = StoreMonitor(settings, partial(open_shards, check_installation=True))
        installation = Installation(
            open_store=lambda: store.opened,
            config=lambda: config,
            platforms=lambda: platforms,
            sources=lambda: sources,
            actions=cache(load_actions),
            destinations=lambda: destinations.by_name,
            records=lambda: config.record_types,
        )
        console = console_router(installation, os.environ) if settings.console else None
        await run(settings, sources, store, admin_router(installation, os.environ), load_plugins(), console=console)
