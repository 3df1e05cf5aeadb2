"""`waybill serve`: the pod that answers HTTP, joined from settings, waybill.yaml and the store."""

import os
from pathlib import Path

import click
import uvloop

from service.actions import load_actions
from service.config import Config, load_config
from service.config.telling import tell_warnings
from service.ingress.admin import AdminParts, admin_router
from service.ingress.late_store import LateStore
from service.ingress.server import run
from service.log import configure
from service.outbound import open_outbound
from service.platforms import build_platforms
from service.settings import Settings, load_settings
from service.sources import build_sources
from service.store import open_shards


@click.command()
def serve() -> None:
    """Take in webhooks on WAYBILL_PORT, answer health and the admin API on WAYBILL_ADMIN_PORT."""
    configure("service")
    settings = load_settings(os.environ)
    configure("service", settings.log_level, settings.log_line_bytes_max)
    config = load_config(Path(settings.config), os.environ)
    tell_warnings(config)
    uvloop.run(_serve(settings, config))


async def _serve(settings: Settings, config: Config) -> None:
    # platforms read deliveries here and fetch nothing; their HTTP client opens no connection until asked
    async with open_outbound(settings, allow_private_hosts=config.outbound.allow_private_hosts) as outbound:
        platforms = build_platforms(config.platforms, os.environ, outbound)
        sources = build_sources(config, os.environ, platforms, settings)
        store = LateStore(settings, open_shards)
        parts = AdminParts(
            settings=settings,
            admin=config.admin,
            environ=os.environ,
            late_store=store,
            platforms=platforms,
            sources=sources,
            actions=load_actions(),
            source_configs=config.sources,
            platform_configs=config.platforms,
        )
        await run(settings, sources, store, admin_router(parts))
