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

from service.config import Config, load_config
from service.console.bulk import YES, confirm
from service.console.opening import read_settings
from service.console.printing import JSON, print_json, print_text
from service.console.reaching import Way, ask_at, opened_remote, reaching
from service.errors import ConfigError, StoreUnavailable, StoreUnsafe
from service.log import configure
from service.outbound import Outbound
from service.oversight.platform_reads import ReadView, list_reads, read_platform
from service.plain import Plain
from service.platforms import Platform
from service.platforms.building import build_platforms
from service.platforms.manners import Manners
from service.platforms.operations import Written
from service.platforms.writes import WRITES, Write
from service.settings import Settings
from service.store import Store

RAW = click.option("--raw", is_flag=True, help="As the platform gives it, personal data and all. Takes the role admin.")


class Account(Struct, frozen=True):
    """A configured account and what kind of platform it is."""

    account: str
    kind: str


class Accounts(Protocol):
    """What can be asked here, of the admin API or of waybill.yaml."""

    async def list_platforms(self) -> Sequence[Any]:
        """List the accounts, each with `account` and `kind`."""
        ...

    async def list_reads(self, account: str) -> Sequence[ReadView]:
        """See Desk."""
        ...

    async def read_platform(self, account: str, operation: str, arguments: Mapping[str, str], *, raw: bool) -> Plain:
        """See Desk."""
        ...


@click.group()
def platforms() -> None:
    """Ask the configured platforms for what they hold, or change it."""


@platforms.command("list")
@click.argument("account", required=False)
@JSON
@reaching
def list_(account: str | None, *, as_json: bool, way: Way) -> None:
    """List the accounts, or what can be asked of one of them."""
    if account is None:
        for found in ask_at(_opened(way), lambda desk: desk.list_platforms()):
            if as_json:
                print_json(found)
            else:
                click.echo(f"{found.account}  {found.kind}")
        return
    for read in ask_at(_opened(way), lambda desk: desk.list_reads(account)):
        if as_json:
            print_json(read)
        else:
            click.echo(" ".join((read.operation, *read.required, *(f"[{name}=…]" for name in read.optional))))


@platforms.command("get")
@click.argument("account")
@click.argument("operation")
@click.argument("values", nargs=-1)
@RAW
@reaching
def get(account: str, operation: str, values: tuple[str, ...], *, raw: bool, way: Way) -> None:
    """Ask for one thing or one page of a list, and print it as JSON; personal data is taken out unless --raw.

    VALUES are the operation's required arguments in order, and NAME=VALUE for the others.
    """

    async def go(desk: Accounts) -> Plain:
        reads = {read.operation: read for read in await desk.list_reads(account)}
        if operation not in reads:
            raise ConfigError(operation[:64], f"{account} has no such read", f"one of {', '.join(reads)}")
        return await desk.read_platform(account, operation, _arguments(reads[operation], values), raw=raw)

    print_text(msgspec.json.format(msgspec.json.encode(ask_at(_opened(way), go)), indent=2).decode())


@platforms.command("write")
@click.argument("account")
@click.argument("operation")
@click.argument("ids", nargs=-1)
@click.option("--body", help="What to write: a JSON object, @FILE, or @- for stdin.")
@YES
def write(account: str, operation: str, ids: tuple[str, ...], *, body: str | None, yes: bool) -> None:
    """Change one thing on a platform, once, and print the status and the id of what was written.

    IDS are the operation's, in order. Only where waybill.yaml is: the admin API changes nothing on platforms. If the
    answer does not come, look on the platform before you repeat it.
    """
    settings = read_settings()
    config = load_config(Path(settings.config), os.environ)
    wanted = _wanted(config, account, operation)
    if len(ids) != len(wanted.ids):
        raise ConfigError("IDS", f"{len(ids)} were given", f"give {' '.join(wanted.ids) or 'none'}, in order")
    if not yes:
        confirm(f"{operation} will be done on {account}. Go on?")
    told, named = _read_body(body), dict(zip(wanted.ids, ids, strict=True))

    async def go(desk: Configured) -> Written:
        return await wanted.run(desk.platforms[account], named, told)

    written = ask_at(_opened_here(settings, config), go)
    click.echo(msgspec.json.encode({"http_status": written.http_status, "id": written.id}).decode())


def _wanted(config: Config, account: str, operation: str) -> Write:
    if account not in config.platforms:
        raise ConfigError("ACCOUNT", f"there is no platform {account[:64]}", f"one of {', '.join(config.platforms)}")
    writes = WRITES[str(config.platforms[account].__struct_config__.tag)]
    if operation not in writes:
        known = ", ".join(writes) or "none: it is only asked"
        raise ConfigError(operation[:64], f"{account} has no such write", f"one of {known}")
    return writes[operation]


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


class Configured:
    """The accounts of waybill.yaml, asked from here."""

    def __init__(self, config: Config, platforms: Mapping[str, Platform]) -> None:
        self._config = config
        self.platforms = platforms

    async def list_platforms(self) -> Sequence[Account]:
        """See Accounts."""
        return [Account(name, str(each.__struct_config__.tag)) for name, each in self._config.platforms.items()]

    async def list_reads(self, account: str) -> Sequence[ReadView]:
        """See Accounts."""
        return list_reads(self._config.platforms, account)

    async def read_platform(self, account: str, operation: str, arguments: Mapping[str, str], *, raw: bool) -> Plain:
        """See Accounts."""
        sight = "raw" if raw else "redacted"
        return await read_platform(self._config.platforms, self.platforms, account, operation, arguments, sight=sight)


@contextlib.asynccontextmanager
async def _opened(way: Way) -> AsyncGenerator[Accounts]:
    settings = read_settings()
    if way.url is not None:
        async with opened_remote(settings, way) as remote:
            yield remote
        return
    async with _opened_here(settings, load_config(Path(settings.config), os.environ)) as configured:
        yield configured


@contextlib.asynccontextmanager
async def _opened_here(settings: Settings, config: Config) -> AsyncGenerator[Configured]:
    store = Store(settings)
    try:
        async with Outbound(settings, config.outbound.allow_private_hosts) as outbound:
            sharing = await _sharing(store, settings)
            yield Configured(config, build_platforms(config.platforms, os.environ, outbound, sharing))
    finally:
        with contextlib.suppress(StoreUnavailable, StoreUnsafe):
            await store.close()


async def _sharing(store: Store, settings: Settings) -> Manners | None:
    try:
        await store.limits.rests()
    except (StoreUnavailable, StoreUnsafe) as error:
        click.echo(f"waybill: limits and pauses are not shared, the store does not answer: {error}", err=True)
        return None
    return Manners(store.limits, store.tokens, settings.fetch_seconds_max)
