"""`waybill serve`: build the ingress from settings, waybill.yaml and the store, and run it."""

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache, partial
from pathlib import Path

import click
import uvloop
from msgspec import Struct

from service.actions import load_actions
from service.config import Config
from service.config.startup import extend_retention_to_dedupe_windows, log_config_warnings
from service.config_reload import ReloadableConfiguration
from service.configuration import load_config
from service.destinations.registry import Destinations, DestinationSetup
from service.http_client import HttpClient
from service.ingestion.sources import Source, build_sources
from service.ingress.admin import admin_router
from service.ingress.admin.auth import load_tokens
from service.ingress.console import console_router
from service.ingress.plugins import load_plugins
from service.ingress.server import ADMIN_REQUEST_SECONDS_MAX, run
from service.ingress.store_monitor import StoreMonitor
from service.log import configure
from service.log_sampling import sample_one_in
from service.management.installation import Installation
from service.platforms import Platform
from service.platforms.registry import build_platforms
from service.redaction import log_ids_as_digests
from service.sending.source_tester import SourceTester, webhook_url
from service.settings import Settings, load_settings
from service.store import build_shards, open_shards
from service.throttles.throttles import SharedThrottles
from service.tracing.startup import send_traces


@click.command(epilog="\b\nExample:\n  WAYBILL_REDIS_URL=redis://127.0.0.1:6379/0 waybill serve")
def serve() -> None:
    """Run the service: webhooks, health checks, the admin API and the console.

    Webhooks are on WAYBILL_PORT (default 8080); health checks, metrics, the admin API and the console are on
    WAYBILL_ADMIN_PORT (default 8081). SIGTERM drains.
    """
    configure("service")
    settings = load_settings(os.environ)
    configure("service", settings.log_level, settings.log_line_bytes_max, buffered=True)
    sample_one_in(settings.log_sample_one_in)
    log_ids_as_digests(enabled=settings.log_ids == "digest")
    config = load_config(Path(settings.config), os.environ)
    settings = extend_retention_to_dedupe_windows(settings, config)
    log_config_warnings(config)
    with send_traces("service", os.environ, enabled=settings.traces):
        uvloop.run(_serve(settings, config))


class ServiceParts(Struct, frozen=True):
    """Parts of the service that waybill.yaml configures."""

    platforms: Mapping[str, Platform]
    sources: Mapping[str, Source]
    destinations: Destinations
    source_tester: SourceTester


async def _serve(settings: Settings, config: Config) -> None:
    # Connectors parse deliveries here. Only an operator's query calls a platform, within the workers' shared throttle.
    shared = build_shards(settings, check_installation=True)
    home = shared.home
    sources: dict[str, Source] = {}
    webhook_port = settings.port

    def set_webhook_port(port: int) -> None:
        nonlocal webhook_port
        webhook_port = port

    @asynccontextmanager
    async def open_parts(config: Config) -> AsyncGenerator[ServiceParts]:
        throttles = SharedThrottles(home.limits, home.tokens, settings.fetch_timeout_seconds)
        async with HttpClient(settings, allow_private_hosts=config.outbound.allow_private_hosts) as outbound:
            platforms = build_platforms(config.platforms, os.environ, outbound, throttles, config.record_types)
            built = build_sources(config, os.environ, platforms, settings)
            setup = DestinationSetup(http_client=outbound, environ=os.environ)
            tester = SourceTester(config, os.environ, outbound, lambda: webhook_url(settings.host, webhook_port))
            parts = ServiceParts(platforms, built, Destinations(config.destinations, setup), tester)
            load_tokens(config.admin, os.environ)  # a mistake rejects the configuration
            # In place and without a wait: each delivery sees all sources of one configuration.
            sources.clear()
            sources.update(built)
            yield parts

    configuration = ReloadableConfiguration(
        config,
        os.environ,
        open_parts,
        call_seconds_max=ADMIN_REQUEST_SECONDS_MAX,
        retention_days_max=settings.decision_retention_days,
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(shared.close)
        await stack.enter_async_context(configuration.open())
        store = StoreMonitor(settings, partial(open_shards, check_installation=True))
        installation = Installation(
            open_store=lambda: store.opened,
            config=lambda: configuration.config,
            platforms=lambda: configuration.active.platforms,
            sources=lambda: configuration.active.sources,
            actions=cache(load_actions),
            destinations=lambda: configuration.active.destinations.by_name,
            records=lambda: configuration.config.record_types,
            source_tester=lambda: configuration.active.source_tester,
        )
        console = console_router(installation, os.environ) if settings.console else None
        admin = admin_router(installation, os.environ)
        await run(
            settings,
            sources,
            store,
            admin,
            load_plugins(),
            console=console,
            on_listening=set_webhook_port,
        )
