"""Settings for the command line of arq: `arq workers.settings.WorkerSettings` runs a worker, `--check` checks it.

arq builds its own worker from these settings, and calls `on_startup` before it claims jobs. `on_startup` runs the
worker of Waybill until it stops, and then ends arq's worker, which therefore claims nothing.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import click
from arq.connections import RedisSettings

from service.log import configure
from service.settings import Settings, load_settings
from service.store.connection.address import credentials_of, urls_of
from service.store.connection.connection import parse_sentinels
from service.store.connection.server import SEED_CONNECT_SECONDS_MAX
from service.store.shards import shard_settings
from workers.commands import prepare, run_worker
from workers.functions import load_functions

configure("workers")  # before the settings, so that an invalid setting is a log line, too
_settings = load_settings(os.environ)


def build_redis_settings(settings: Settings) -> RedisSettings:
    """Return arq's form of the store's address.

    Raises:
        ConfigError: the URL or the list of sentinels is not valid.
    """
    credentials = credentials_of(settings)
    redis = RedisSettings.from_dsn(_first_answering(urls_of(settings)))
    redis.username = credentials.get("username", redis.username)
    redis.password = credentials.get("password", redis.password)
    redis.ssl_ca_certs = settings.redis_tls_ca_file or None
    if settings.redis_sentinel:
        redis.host = parse_sentinels(settings.redis_sentinel)
        redis.sentinel = True
        redis.sentinel_master = settings.redis_sentinel_primary
    return redis


def _first_answering(urls: Sequence[str]) -> str:
    """Return the first of several URLs whose server accepts a connection, or the last one."""
    for url in urls[:-1]:
        parts = urlsplit(url)
        with contextlib.suppress(OSError):
            socket.create_connection((parts.hostname, parts.port or 6379), SEED_CONNECT_SECONDS_MAX).close()
            return url
    return urls[-1]


async def run_until_stopped(_context: Mapping[Any, Any]) -> None:
    """Run the worker of Waybill until SIGTERM, or with `--burst` until the queue is empty.

    Raises:
        ConfigError: the configuration is invalid.
        CancelledError: the worker stopped. arq's worker stops on it.
    """
    arguments = click.get_current_context(silent=True)
    burst = arguments is not None and bool(arguments.params.get("burst"))
    await run_worker(_settings, prepare(_settings), os.environ, burst=burst)
    raise asyncio.CancelledError


class WorkerSettings:
    """Arguments of `arq.worker.Worker`."""

    functions = load_functions()
    queue_name = shard_settings(_settings, 0).queue
    redis_settings = build_redis_settings(_settings)
    on_startup = run_until_stopped
