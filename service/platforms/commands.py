"""`waybill platforms`: ask an account by hand, through the same connector, limits and pauses as the workers do."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from service.config import Config, load_config
from service.errors import ConfigError, Held, PermanentError, StoreUnavailable, StoreUnsafe, TransientError
from service.outbound import open_outbound
from service.platforms.building import build_platforms
from service.platforms.manners import Manners
from service.platforms.reads import READS, Read
from service.settings import Settings, load_settings
from service.store import Store

EXIT_FAILED = 1

_encode = msgspec.json.Encoder(decimal_format="number").encode


@click.group()
def platforms() -> None:
    """Ask the configured platforms for what they hold."""


@platforms.command("list")
@click.argument("account", required=False)
def list_(account: str | None) -> None:
    """List the accounts, or what can be asked of one of them."""
    config = _config(load_settings(os.environ))
    if account is None:
        for name, platform in config.platforms.items():
            click.echo(f"{name}  {platform.__struct_config__.tag}")
        return
    for operation, read in _reads(config, account).items():
        click.echo(" ".join((operation, *read.required, *(f"[{name}=…]" for name in read.optional))))


@platforms.command("get")
@click.argument("account")
@click.argument("operation")
@click.argument("values", nargs=-1)
def get(account: str, operation: str, values: tuple[str, ...]) -> None:
    """Ask for one thing or one page of a list, and print it as JSON.

    VALUES are the operation's required arguments in order, and NAME=VALUE for the others.
    """
    settings = load_settings(os.environ)
    config = _config(settings)
    reads = _reads(config, account)
    if operation not in reads:
        raise ConfigError(operation, f"{account} has no such read", f"one of {', '.join(reads)}")
    read = reads[operation]
    try:
        answer = asyncio.run(_ask(settings, config, account, read, _arguments(read, values)))
    except (PermanentError, TransientError, Held) as error:
        click.echo(f"{error.kind}: {error}", err=True)
        sys.exit(EXIT_FAILED)
    click.echo(msgspec.json.format(_encode(answer), indent=2).decode())
    sys.exit(0 if answer is not None else EXIT_FAILED)


def _config(settings: Settings) -> Config:
    return load_config(Path(settings.config), os.environ)


def _reads(config: Config, account: str) -> Mapping[str, Read]:
    if account not in config.platforms:
        raise ConfigError(account, "no account of this name is configured", f"one of {', '.join(config.platforms)}")
    return READS[str(config.platforms[account].__struct_config__.tag)]


def _arguments(read: Read, values: tuple[str, ...]) -> dict[str, str]:
    plain = [value for value in values if value.partition("=")[0] not in read.optional]
    named = dict(value.split("=", 1) for value in values if value.partition("=")[0] in read.optional and "=" in value)
    if len(plain) != len(read.required):
        raise ConfigError("VALUES", f"{len(plain)} were given", f"give {' '.join(read.required) or 'none'}, in order")
    return dict(zip(read.required, plain, strict=True)) | named


async def _ask(settings: Settings, config: Config, account: str, read: Read, arguments: Mapping[str, str]) -> Any:  # noqa: ANN401 - JSON may be anything
    store = Store(settings)
    try:
        async with open_outbound(settings, config.outbound.allow_private_hosts) as outbound:
            sharing: Manners | None = Manners(store.limits, store.tokens, settings.fetch_seconds_max)
            try:
                await store.limits.rests()
            except (StoreUnavailable, StoreUnsafe) as error:
                click.echo(f"waybill: limits and pauses are not shared, the store does not answer: {error}", err=True)
                sharing = None
            connectors = build_platforms({account: config.platforms[account]}, os.environ, outbound, sharing)
            return await read.run(connectors[account], arguments)
    finally:
        with contextlib.suppress(StoreUnavailable, StoreUnsafe):
            await store.close()
