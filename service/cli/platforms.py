"""`waybill platforms`: reads and writes of platform accounts with the connectors, rate limits and circuits of workers.

Without --url, `get` and `write` require only waybill.yaml. If the store is unavailable, limits are not shared with the
workers.
"""

import contextlib
import sys
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Literal

import click
from msgspec import Struct

from service.cli.api_client import AdminApiClient
from service.cli.api_connection import open_api_client
from service.cli.bulk import YES_OPTION, confirm
from service.cli.circuits import format_last_error
from service.cli.completion import complete_account
from service.cli.configured_parts import ConfiguredParts
from service.cli.connection import ConnectionOptions, connection_options, run_with, run_with_client
from service.cli.lists import ListOptions, ListTable, list_options, print_list, run_list
from service.cli.output import JSON, columns_of, print_document, print_rows, print_text
from service.cli.store_client import local_actor, local_installation, prepare_settings
from service.errors import ConfigError, StoreNotDurable, StoreUnavailable
from service.events import JsonValue
from service.http_client import HttpClient
from service.management.circuits import CircuitView
from service.management.platform_operations import PlatformOperations, ReadView, Wrote
from service.plurals import count_noun
from service.settings import Settings
from service.store import Store, build_shards
from service.throttles.throttles import SharedThrottles

RAW = click.option("--raw", is_flag=True, help="Show personal data. With --url, requires the role admin.")


PlatformClient = PlatformOperations | AdminApiClient

CIRCUITS = ListTable[CircuitView](
    columns={
        **columns_of("account", "kind", "circuit"),
        "open for": lambda view: "" if view.circuit != "open" else f"{view.open_seconds:.0f} s",
        "parked jobs": lambda view: str(view.parked_jobs),
        "last error": lambda view: format_last_error(view.last_error),
    },
    name=lambda view: view.account,
    empty_message="waybill.yaml has no platforms.",
)


class OperationRow(Struct, frozen=True):
    """Operation of an account: `get` runs a read, and `write` a write. `--body` stands for the body of a write."""

    operation: str
    kind: Literal["read", "write"]
    required: Sequence[str]
    optional: Sequence[str] = ()


OPERATIONS = ListTable[OperationRow](
    columns={
        **columns_of("operation", "kind"),
        "required": lambda row: " ".join(row.required),
        "optional": lambda row: " ".join(row.optional),
    },
    name=lambda row: row.operation,
    empty_message="The account has no operations.",
)


@click.group(epilog="\b\nExamples:\n  waybill platforms list\n  waybill platforms get pack purchase_order.get 5a7d2f90")
def platforms() -> None:
    """Read from and write to the configured platform accounts."""


@platforms.command("list", epilog="\b\nExamples:\n  waybill platforms list\n  waybill platforms list pack")
@click.argument("account", required=False, shell_complete=complete_account)
@list_options
@connection_options
def list_(account: str | None, *, options: ListOptions, connection: ConnectionOptions) -> None:
    """List the accounts with their circuits, or the operations of one account."""
    if account is None:
        run_list(connection, lambda client: client.list_circuits(), CIRCUITS, options)
        return
    if options.watch:
        raise click.UsageError("--watch cannot be combined with ACCOUNT: the operations of an account do not change.")
    rows = run_with(_open_client(connection), lambda client: _list_operations(client, account))
    print_list(rows, OPERATIONS, options.output)


async def _list_operations(client: PlatformClient, account: str) -> list[OperationRow]:
    reads = [
        OperationRow(each.operation, "read", each.required, each.optional) for each in await client.list_reads(account)
    ]
    writes = await client.list_writes(account)
    return reads + [
        OperationRow(each.operation, "write", (*each.ids, *(["--body"] if each.body else []))) for each in writes
    ]


@platforms.command("pause", epilog="\b\nExample:\n  waybill platforms pause pack")
@click.argument("account", shell_complete=complete_account)
@JSON
@connection_options
def pause(account: str, *, as_json: bool, connection: ConnectionOptions) -> None:
    """Pause an account: no worker calls it until it is resumed. Its events are parked and use no attempt."""
    _print_circuit(run_with_client(connection, lambda client: client.pause_account(account)), as_json=as_json)


@platforms.command("resume", epilog="\b\nExample:\n  waybill platforms resume pack")
@click.argument("account", shell_complete=complete_account)
@JSON
@connection_options
def resume(account: str, *, as_json: bool, connection: ConnectionOptions) -> None:
    """Close the circuit of an account, paused or open. Its parked events are freed gradually."""
    _print_circuit(run_with_client(connection, lambda client: client.resume_account(account)), as_json=as_json)


def _print_circuit(view: CircuitView, *, as_json: bool) -> None:
    print_rows([view], CIRCUITS.columns, as_json=as_json, empty_message="")


@platforms.command(
    "get",
    epilog="\b\nExamples:\n  waybill platforms get pack purchase_order.get 5a7d2f90\n"
    "  waybill platforms get pack purchase_order.list per_page=2 statuses=received",
)
@click.argument("account", shell_complete=complete_account)
@click.argument("operation")
@click.argument("values", nargs=-1)
@RAW
@JSON
@connection_options
def get(
    account: str,
    operation: str,
    values: tuple[str, ...],
    *,
    raw: bool,
    as_json: bool,
    connection: ConnectionOptions,
) -> None:
    """Run a read operation of an account and print the result as JSON.

    VALUES are the required arguments in order, then optional arguments as NAME=VALUE. Run `waybill platforms list
    ACCOUNT` for the operations. Personal data is removed unless --raw is given.
    """

    async def read(client: PlatformClient) -> JsonValue:
        reads = {each.operation: each for each in await client.list_reads(account)}
        if operation not in reads:
            raise ConfigError(operation[:64], f"{account} has no such read operation", f"use one of {', '.join(reads)}")
        return await client.read_platform(account, operation, _arguments(reads[operation], values), raw=raw)

    print_document(run_with(_open_client(connection), read), as_json=as_json)


@platforms.command(
    "write",
    epilog="\b\nExamples:\n  waybill platforms write pack rule.update 17 --body '{\"enabled\": false}'\n"
    "  waybill platforms write pack rule.create --body @rule.json --yes",
)
@click.argument("account", shell_complete=complete_account)
@click.argument("operation")
@click.argument("ids", nargs=-1)
@click.option("--body", help="Request body: a JSON object, @FILE, or @- for standard input.")
@RAW
@YES_OPTION
@JSON
@connection_options
def write(
    account: str,
    operation: str,
    ids: tuple[str, ...],
    *,
    body: str | None,
    raw: bool,
    yes: bool,
    as_json: bool,
    connection: ConnectionOptions,
) -> None:
    """Run a write operation of an account and print HTTP status, id and response.

    IDS are the ids of the operation in order. Run `waybill platforms list ACCOUNT` for the operations. The request is
    sent once. If no response arrives, check the platform before you repeat the command. With --url, requires the role
    admin.
    """
    payload = _read_body(body)

    async def send_write(client: PlatformClient) -> Wrote:
        writes = {each.operation: each for each in await client.list_writes(account)}
        if operation not in writes:
            fix = (
                f"use one of {', '.join(writes)}"
                if writes
                else f"change the record on the platform: {account} is read-only"
            )
            raise ConfigError(operation[:64], f"{account} has no such write operation", fix)
        names = writes[operation].ids
        if len(ids) != len(names):
            raise ConfigError("IDS", f"{count_noun(len(ids), 'id')} given", _expected(names))
        if not yes:
            confirm(f"{operation} will change data of {account}. Continue?")
        return await client.write_platform(account, operation, dict(zip(names, ids, strict=True)), payload, raw=raw)

    print_document(run_with(_open_client(connection), send_write), as_json=as_json)


def _read_body(body: str | None) -> bytes | None:
    if body is None or not body.startswith("@"):
        return None if body is None else body.encode()
    try:
        return sys.stdin.buffer.read() if body == "@-" else Path(body[1:]).read_bytes()
    except OSError as error:
        raise ConfigError("--body", f"cannot be read: {error.strerror}", "give a file with a JSON object") from None


def _arguments(read: ReadView, values: tuple[str, ...]) -> dict[str, str]:
    plain = [value for value in values if value.partition("=")[0] not in read.optional]
    named = dict(value.split("=", 1) for value in values if value.partition("=")[0] in read.optional and "=" in value)
    if len(plain) != len(read.required):
        raise ConfigError("VALUES", f"{count_noun(len(plain), 'required argument')} given", _expected(read.required))
    return dict(zip(read.required, plain, strict=True)) | named


def _expected(names: Sequence[str]) -> str:
    return f"give {' '.join(names)}, in this order" if names else "give none"


@contextlib.asynccontextmanager
async def _open_client(connection: ConnectionOptions) -> AsyncGenerator[PlatformClient]:
    if connection.url is not None:
        async with open_api_client(connection) as client:
            yield client
        return
    settings = prepare_settings()
    store = build_shards(settings)
    try:
        async with HttpClient(settings) as http_client:
            parts = ConfiguredParts(settings, http_client, await _shared_throttles(store.home, settings))
            yield PlatformOperations(local_installation(settings, store, lambda: parts), local_actor())
    finally:
        with contextlib.suppress(StoreUnavailable, StoreNotDurable):
            await store.close()


async def _shared_throttles(store: Store, settings: Settings) -> SharedThrottles | None:
    try:
        await store.limits.open_circuits()
    except (StoreUnavailable, StoreNotDurable) as error:
        print_text(
            f"waybill: rate limits are not shared with the workers, since the store is unavailable: {error}", err=True
        )
        return None
    return SharedThrottles(store.limits, store.tokens, settings.fetch_timeout_seconds)
