"""`waybill platforms`: ask or change an account by hand, through the same connector, limits and pauses as the workers.

Without --url this needs waybill.yaml alone: a store that does not answer is told, and the account asked all the same.
"""

import contextlib
import os
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import click
import msgspec
from msgspec import Struct

from service.cli.bulk import YES_OPTION, confirm
from service.cli.connection import STDERR, ConnectionOptions, connection_options, local_actor, open_api_client, run_with
from service.cli.context import settings_from_environ
from service.cli.output import JSON, Columns, print_json, print_rows, print_text
from service.config import Config
from service.errors import ConfigError, StoreNotDurable, StoreUnavailable
from service.events import JsonValue
from service.http_client import HttpClient
from service.log import configure
from service.management.platform_reads import ReadView, list_reads, read_platform
from service.management.platform_writes import WriteView, Wrote, list_writes, write_platform
from service.platforms import Platform
from service.platforms.api.shared_throttle import SharedThrottles
from service.platforms.loading import load_config
from service.platforms.registry import build_platforms
from service.settings import Settings, load_settings
from service.store import Store

RAW = click.option("--raw", is_flag=True, help="As the platform gives it, personal data and all. Takes the role admin.")


class AccountRow(Struct, frozen=True):
    """A configured account and what kind of platform it is."""

    account: str
    kind: str


ACCOUNT_COLUMNS: Columns[Any] = {"account": lambda found: found.account, "kind": lambda found: found.kind}
READ_COLUMNS: Columns[ReadView] = {
    "operation": lambda read: read.operation,
    "needs": lambda read: " ".join(read.required),
    "takes": lambda read: " ".join(read.optional),
}


class PlatformAccess(Protocol):
    """What can be asked here, of the admin API or of waybill.yaml."""

    async def list_platforms(self) -> Sequence[Any]:
        """List the accounts, each with `account` and `kind`."""
        ...

    async def list_reads(self, account: str) -> Sequence[ReadView]:
        """See Desk."""
        ...

    async def read_platform(
        self, account: str, operation: str, arguments: Mapping[str, str], *, raw: bool
    ) -> JsonValue:
        """See Desk."""
        ...

    async def list_writes(self, account: str) -> Sequence[WriteView]:
        """List what can be changed on an account."""
        ...

    async def write_platform(self, account: str, operation: str, ids: Mapping[str, str], body: bytes | None) -> Wrote:
        """Make one change; `body` is JSON."""
        ...


@click.group()
def platforms() -> None:
    """Ask the configured platforms for what they hold, or change it."""


@platforms.command("list")
@click.argument("account", required=False)
@JSON
@connection_options
def list_(account: str | None, *, as_json: bool, connection: ConnectionOptions) -> None:
    """List the accounts, or what can be asked of one of them."""
    if account is None:
        accounts = run_with(_opened(connection), lambda client: client.list_platforms())
        print_rows(accounts, ACCOUNT_COLUMNS, as_json=as_json, nothing="no platforms are configured")
        return
    reads = run_with(_opened(connection), lambda client: client.list_reads(account))
    print_rows(reads, READ_COLUMNS, as_json=as_json, nothing=f"nothing can be asked of {account}")


@platforms.command("get")
@click.argument("account")
@click.argument("operation")
@click.argument("values", nargs=-1)
@RAW
@connection_options
def get(account: str, operation: str, values: tuple[str, ...], *, raw: bool, connection: ConnectionOptions) -> None:
    """Ask for one thing or one page of a list, and print it as JSON; personal data is taken out unless --raw.

    VALUES are the operation's required arguments in order, and NAME=VALUE for the others.
    """

    async def go(client: PlatformAccess) -> JsonValue:
        reads = {read.operation: read for read in await client.list_reads(account)}
        if operation not in reads:
            raise ConfigError(operation[:64], f"{account} has no such read", f"one of {', '.join(reads)}")
        return await client.read_platform(account, operation, _arguments(reads[operation], values), raw=raw)

    print_text(msgspec.json.format(msgspec.json.encode(run_with(_opened(connection), go)), indent=2).decode())


@platforms.command("write")
@click.argument("account")
@click.argument("operation")
@click.argument("ids", nargs=-1)
@click.option("--body", help="What to write: a JSON object, @FILE, or @- for stdin.")
@YES_OPTION
@connection_options
def write(
    account: str, operation: str, ids: tuple[str, ...], *, body: str | None, yes: bool, connection: ConnectionOptions
) -> None:
    """Change one thing on a platform, once, and print the status and the id of what was written.

    IDS are the operation's, in order. With --url it takes the role admin. If the answer does not come, look on the
    platform before you repeat it.
    """
    payload = _read_body(body)

    async def go(client: PlatformAccess) -> Wrote:
        writes = {each.operation: each for each in await client.list_writes(account)}
        if operation not in writes:
            known = ", ".join(writes) or "none: it is only asked"
            raise ConfigError(operation[:64], f"{account} has no such write", f"one of {known}")
        names = writes[operation].ids
        if len(ids) != len(names):
            raise ConfigError("IDS", f"{len(ids)} were given", f"give {' '.join(names) or 'none'}, in order")
        if not yes:
            confirm(f"{operation} will be done on {account}. Go on?")
        return await client.write_platform(account, operation, dict(zip(names, ids, strict=True)), payload)

    print_json(run_with(_opened(connection), go))


def _read_body(body: str | None) -> bytes | None:
    if body is None or not body.startswith("@"):
        return None if body is None else body.encode()
    try:
        return sys.stdin.buffer.read() if body == "@-" else Path(body[1:]).read_bytes()
    except OSError as error:
        raise ConfigError("--body", f"cannot be read: {error.strerror}", "name a file with a JSON object") from None


def _arguments(read: ReadView, values: tuple[str, ...]) -> dict[str, str]:
    plain = [value for value in values if value.partition("=")[0] not in read.optional]
    named = dict(value.split("=", 1) for value in values if value.partition("=")[0] in read.optional and "=" in value)
    if len(plain) != len(read.required):
        raise ConfigError("VALUES", f"{len(plain)} were given", f"give {' '.join(read.required) or 'none'}, in order")
    return dict(zip(read.required, plain, strict=True)) | named


class LocalPlatformAccess:
    """The accounts of waybill.yaml, asked from here."""

    def __init__(self, config: Config, platforms: Mapping[str, Platform]) -> None:
        self._config = config
        self._platforms = platforms

    async def list_platforms(self) -> Sequence[AccountRow]:
        """See PlatformAccess."""
        return [AccountRow(name, str(each.__struct_config__.tag)) for name, each in self._config.platforms.items()]

    async def list_reads(self, account: str) -> Sequence[ReadView]:
        """See PlatformAccess."""
        return list_reads(self._config.platforms, account)

    async def read_platform(
        self, account: str, operation: str, arguments: Mapping[str, str], *, raw: bool
    ) -> JsonValue:
        """See PlatformAccess."""
        sight = "raw" if raw else "redacted"
        return await read_platform(self._config.platforms, self._platforms, account, operation, arguments, sight=sight)

    async def list_writes(self, account: str) -> Sequence[WriteView]:
        """See PlatformAccess."""
        return list_writes(self._config.platforms, account)

    async def write_platform(self, account: str, operation: str, ids: Mapping[str, str], body: bytes | None) -> Wrote:
        """See PlatformAccess."""
        configs, whom = self._config.platforms, {"account": account, "operation": operation}
        return await write_platform(configs, self._platforms, local_actor(), **whom, ids=ids, body=body)


@contextlib.asynccontextmanager
async def _opened(connection: ConnectionOptions) -> AsyncGenerator[PlatformAccess]:
    if connection.url is not None:
        async with open_api_client(load_settings(os.environ), connection) as remote:
            yield remote
        return
    settings = settings_from_environ()
    configure("service", settings.log_level, settings.log_line_bytes_max, STDERR)
    async with _opened_here(settings, load_config(Path(settings.config), os.environ)) as configured:
        yield configured


@contextlib.asynccontextmanager
async def _opened_here(settings: Settings, config: Config) -> AsyncGenerator[LocalPlatformAccess]:
    store = Store(settings)
    try:
        async with HttpClient(settings, config.outbound.allow_private_hosts) as outbound:
            sharing = await _sharing(store, settings)
            yield LocalPlatformAccess(config, build_platforms(config.platforms, os.environ, outbound, sharing))
    finally:
        with contextlib.suppress(StoreUnavailable, StoreNotDurable):
            await store.close()


async def _sharing(store: Store, settings: Settings) -> SharedThrottles | None:
    try:
        await store.limits.open_circuits()
    except (StoreUnavailable, StoreNotDurable) as error:
        click.echo(f"waybill: limits and pauses are not shared, the store does not answer: {error}", err=True)
        return None
    return SharedThrottles(store.limits, store.tokens, settings.fetch_timeout_seconds)
