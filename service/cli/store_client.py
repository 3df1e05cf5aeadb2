"""Management operations on the stores of the environment, or of a running `waybill dev`.

waybill.yaml and the HTTP client are loaded on first use: most operations need the store only.
"""

import contextlib
import os
import socket
from collections.abc import AsyncGenerator, Callable
from functools import cache
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from service.actions import load_actions
from service.cli.dev_instance import adopt_dev_instance
from service.log import configure
from service.management.audit_log import Actor
from service.management.installation import Installation
from service.management.operations import AdminOperations
from service.settings import Settings, load_settings
from service.store import Shards, open_shards

if TYPE_CHECKING:
    from service.cli.configured_parts import ConfiguredParts

CONFIGURED_PARTS = "service.cli.configured_parts:open_configured_parts"
RECORD_TYPES = "service.config.loading:load_record_types"
STDERR = 2


@contextlib.asynccontextmanager
async def open_store_client() -> AsyncGenerator[AdminOperations]:
    """Open all shards, and yield the operations in the name of the local user.

    Raises:
        ConfigError: A setting is not valid.
        StoreUnavailable, StoreNotDurable: As `open_shards`.
    """
    settings = prepare_settings()
    async with contextlib.AsyncExitStack() as stack:
        store = await open_shards(settings)
        stack.push_async_callback(store.close)

        @cache
        def parts() -> "ConfiguredParts":
            return resolve_name(CONFIGURED_PARTS)(settings, store, stack)

        yield AdminOperations(local_installation(settings, store, parts), local_actor())


def prepare_settings() -> Settings:
    """Load the settings of the environment or of a running `waybill dev`, and log to stderr.

    Standard output holds the result of a command only. At a terminal the lines of the audit log are not printed, unless
    WAYBILL_LOG_LEVEL is set: the store has them too.

    Raises:
        ConfigError: A setting is not valid.
    """
    adopt_dev_instance(os.environ)
    settings = load_settings(os.environ)
    level = "warning" if os.isatty(STDERR) and "WAYBILL_LOG_LEVEL" not in os.environ else settings.log_level
    configure("service", level, settings.log_line_bytes_max, STDERR)
    return settings


def local_installation(settings: Settings, store: Shards, parts: Callable[[], "ConfiguredParts"]) -> Installation:
    """Return the installation of a store and the configured parts, which are loaded on first use."""
    return Installation(
        open_store=lambda: store,
        config=lambda: parts().config,
        platforms=lambda: parts().platforms,
        sources=lambda: parts().sources,
        destinations=lambda: parts().destinations.by_name,
        actions=load_actions,
        records=lambda: resolve_name(RECORD_TYPES)(Path(settings.config)),
        is_configured=Path(settings.config).exists(),
    )


def local_actor() -> Actor:
    """Return the user of this terminal. Access to the store implies the role admin."""
    name = os.environ.get("USER") or os.environ.get("LOGNAME") or f"uid {os.getuid()}"
    return Actor(name, "admin", "command", socket.gethostname())
