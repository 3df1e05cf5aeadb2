"""`waybill platforms`: ask or change an account by hand, through the same connector, limits and pauses as the workers.

Without --url this needs waybill.yaml alone: a store that does not answer is told, and the account asked all the same.
"""

import contextlib
import os
import sys
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import Struct

from service.cli.api_client import AdminApiClient
from service.cli.bulk import YES_OPTION, confirm
from service.cli.connection import (
    STDERR,
    AdminClient,
    ConnectionOptions,
    connection_options,
    local_actor,
    open_api_client,
    run_with,
)
from service.cli.context import local_installation, settings_from_environ
from service.cli.output import JSON, Columns, print_json, print_rows, print_text
from service.errors import ConfigError, StoreNotDurable, StoreUnavailable
from service.events import JsonValue
from service.http_client import HttpClient
from service.log import configure
from service.management.operations import AdminOperations
from service.management.platform_reads import ReadView
from service.management.platform_writes import Wrote
from service.management.status import PlatformView
from service.platforms.api.shared_throttle import SharedThrottles
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
        accounts = run_with(_open_client(connection), _list_accounts)
        print_rows(accounts, ACCOUNT_COLUMNS, as_json=as_json, nothing="no platforms are configured")
        return
    reads = run_with(_open_client(connection), lambda client: client.list_reads(account))
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

    async def go(client: AdminClient) -> JsonValue:
        reads = {read.operation: read for read in await client.list_reads(account)}
        if operation not in reads:
            raise ConfigError(operation[:64], f"{account} has no such read", f"one of {', '.join(reads)}")
        return await client.read_platform(account, operation, _arguments(reads[operation], values), raw=raw)

    print_text(msgspec.json.format(msgspec.json.encode(run_with(_open_client(connection), go)), indent=2).decode())


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

    async def go(client: AdminClient) -> Wrote:
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

    print_json(run_with(_open_client(connection), go))


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


async def _list_accounts(client: AdminClient) -> Sequence[AccountRow | PlatformView]:
    """List the accounts. Without an admin API only the configuration is read, because the store may be unavailable."""
    if isinstance(client, AdminApiClient):
        return await client.list_platforms()
    configs = client.installation.config().platforms
    return [AccountRow(name, str(config.__struct_config__.tag)) for name, config in configs.items()]


@contextlib.asynccontextmanager
async def _open_client(connection: ConnectionOptions) -> AsyncGenerator[AdminClient]:
    if connection.url is not None:
        async with open_api_client(load_settings(os.environ), connection) as client:
            yield client
        return
    settings = settings_from_environ()
    configure("service", settings.log_level, settings.log_line_bytes_max, STDERR)
    store = Store(settings)
    try:
        async with HttpClient(settings) as http_client:
            shared = await _sharing(store, settings)
            installation = local_installation(settings, os.environ, store, http_client, shared)
            yield AdminOperations(installation, local_actor())
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
