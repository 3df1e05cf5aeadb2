"""How a command reaches an installation: options and variables in, an open Desk out, and exit codes for refusals.

With --url (WAYBILL_ADMIN_URL) the admin API is asked, with the token of --token, WAYBILL_ADMIN_TOKEN or a file; else
the stores are, those of WAYBILL_REDIS_URL and WAYBILL_SHARD_URLS, or of a running `waybill dev`. Exit codes: 0 done; 1
refused, or nobody answers; 2 a mistake on the command line or in the configuration, an unknown id among them.
"""

import asyncio
import contextlib
import functools
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

import click
from msgspec import Struct

from service.cli.api_client import AdminApiClient
from service.cli.context import local_installation, open_store, settings_from_environ
from service.errors import ConfigError, Rejection, WaybillError
from service.http_client import HttpClient
from service.log import configure
from service.management.audit_log import Actor
from service.management.operations import AdminOperations
from service.platforms.api.shared_throttle import SharedThrottles
from service.settings import Settings, load_settings
from service.store import Shards

AdminClient = AdminOperations | AdminApiClient
"""Client of an installation, by its stores or by its admin API."""

AnyClient = TypeVar("AnyClient")
T = TypeVar("T")

EXIT_FAILED = 1
EXIT_USAGE = 2
USAGE_ERROR_STATUSES = frozenset({400, 404, 409, 422})
"""Statuses of what asking differently mends."""

BAD_GATEWAY = 502
"""The status of what a platform did; told with its kind, as the way by the stores tells it."""

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

STDERR = 2


class ConnectionOptions(Struct, frozen=True):
    """Where to, and with what: no `url` leads to the stores."""

    url: str | None
    token: str | None
    token_file: Path | None

    def read_token(self) -> str:
        """Give the token.

        Raises:
            ConfigError: there is none, or its file cannot be read.
        """
        token = self.token
        if token is None and self.token_file is not None:
            try:
                token = self.token_file.read_text()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError("--token-file", f"cannot be read: {error}", "name a file with the token") from None
        if token is None or not token.strip() or not token.strip().isprintable():
            raise ConfigError("--token", "there is no token", "set WAYBILL_ADMIN_TOKEN, or name a --token-file")
        return token.strip()


class CommandError(click.ClickException):
    """What ends a command, told in one line."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # pyright: ignore[reportAttributeAccessIssue] - click types its default as final

    def show(self, file: IO[Any] | None = None) -> None:
        """Tell it as the other commands tell theirs."""
        click.echo(f"waybill: {self.format_message()}", file=file, err=file is None)


def connection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say where the installation is; it takes them as `connection`."""

    @click.option(
        "--url",
        envvar="WAYBILL_ADMIN_URL",
        help="Ask the admin API at this address instead of the stores. [WAYBILL_ADMIN_URL]",
    )
    @click.option("--token", envvar="WAYBILL_ADMIN_TOKEN", help="With --url: the token. [WAYBILL_ADMIN_TOKEN]")
    @click.option(
        "--token-file",
        envvar="WAYBILL_ADMIN_TOKEN_FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help="With --url: a file with the token. [WAYBILL_ADMIN_TOKEN_FILE]",
    )
    @functools.wraps(command)
    def reached(
        *args: object,
        url: str | None,
        token: str | None,
        token_file: Path | None,
        **kwargs: object,
    ) -> None:
        command(*args, connection=ConnectionOptions(url or None, token, token_file), **kwargs)

    return reached


def run_with_client(connection: ConnectionOptions, question: Callable[[AdminClient], Awaitable[T]]) -> T:
    """Open a desk, ask there, close it.

    Raises:
        CommandError: what was refused, that nobody answers, or a mistake in the settings or in waybill.yaml.
    """
    return run_with(_open_client(connection), question)


def run_with(client: AbstractAsyncContextManager[AnyClient], question: Callable[[AnyClient], Awaitable[T]]) -> T:
    """Ask at a desk that may be less than a whole one, as `run_with_client` does."""

    async def run() -> T:
        async with client as opened:
            return await question(opened)

    try:
        return asyncio.run(run())
    except Rejection as refusal:
        message = f"{refusal.code}: {refusal.detail}" if refusal.status == BAD_GATEWAY else refusal.detail
        raise CommandError(message, EXIT_USAGE if refusal.status in USAGE_ERROR_STATUSES else EXIT_FAILED) from refusal
    except ConfigError as error:
        raise CommandError(str(error), EXIT_USAGE) from error  # a person reads it, and no log
    except WaybillError as error:
        raise CommandError(f"{error.kind}: {error}") from error


def _read_url(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError("--url", f"{url!r} is no address of an admin API", "write it as http://127.0.0.1:8081")
    return parts.scheme, parts.hostname


@contextlib.asynccontextmanager
async def open_api_client(settings: Settings, connection: ConnectionOptions) -> AsyncGenerator[AdminApiClient]:
    """Open the way by the admin API.

    Raises:
        ConfigError: there is no token, or no address.
    """
    url, token = connection.url or "", connection.read_token()
    scheme, host = _read_url(url)
    if scheme == "http" and host not in LOOPBACK:
        click.echo("waybill: the token goes over the network unencrypted; take https, or a port-forward", err=True)
    async with HttpClient(settings) as outbound:
        yield AdminApiClient(outbound, url, token)


@contextlib.asynccontextmanager
async def _open_client(connection: ConnectionOptions) -> AsyncGenerator[AdminClient]:
    if connection.url is not None:
        async with open_api_client(load_settings(os.environ), connection) as remote:
            yield remote
        return
    settings = settings_from_environ()
    # Standard output holds the result only.
    configure("service", settings.log_level, settings.log_line_bytes_max, STDERR)
    async with HttpClient(settings) as http_client, open_store(settings) as store:
        home = store.stores[0] if isinstance(store, Shards) else store
        shared = SharedThrottles(home.limits, home.tokens, settings.fetch_timeout_seconds)
        installation = local_installation(settings, os.environ, store, http_client, shared)
        yield AdminOperations(installation, local_actor())


def local_actor() -> Actor:
    """Say who sits at this terminal: whoever reaches the store may do anything."""
    name = os.environ.get("USER") or os.environ.get("LOGNAME") or f"uid {os.getuid()}"
    return Actor(name, "admin", "command", socket.gethostname())
