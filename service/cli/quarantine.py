"""`waybill quarantine`: look at refused deliveries, judge them again, take the good ones in, forget the others.

Shown is what helps to see what went wrong: names, sizes, codes. Credentials, signatures, personal data only `--raw`.
"""

import functools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import click
import msgspec
from msgspec import Struct

from service.cli.bulk import YES_OPTION, confirm
from service.cli.connection import AdminClient, ConnectionOptions, connection_options, run_with_client
from service.cli.output import JSON, Columns, print_json, print_rows, print_text
from service.management.quarantine import QuarantineRow, Reverified

EXIT_NOT_ALL = 1
NOTHING = "nothing is in quarantine"
PAGE = 200

SOURCE = click.option("--source", help="All that this source has there.")
RAW = click.option("--raw", is_flag=True, help="With body and headers as they are. Takes the role admin.")

COLUMNS: Columns[QuarantineRow] = {
    "id": lambda row: row.id,
    "source": lambda row: row.source,
    "received at": lambda row: row.received_at,
    "code": lambda row: row.code,
    "http status": lambda row: row.http_status,
    "body bytes": lambda row: "not read" if row.body_bytes is None else row.body_bytes,
    "store": lambda row: row.store,
}


class Choice(Struct, frozen=True):
    """Which refused deliveries are meant.

    Raises:
        click.UsageError: nothing was named.
    """

    ids: tuple[str, ...]
    source: str | None
    every: bool

    def __post_init__(self) -> None:
        if not (self.ids or self.source or self.every):
            raise click.UsageError("name ids, or --source, or --all")


def choosing(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the ways to say which refused deliveries are meant; it takes them as `choice`."""

    @click.argument("ids", nargs=-1)
    @SOURCE
    @click.option("--all", "every", is_flag=True, help="All that there are.")
    @functools.wraps(command)
    def chosen(*, ids: tuple[str, ...], source: str | None, every: bool, **options: object) -> None:
        command(choice=Choice(ids, source, every), **options)

    return chosen


@click.group()
def quarantine() -> None:
    """Look at refused deliveries, and take the good ones in after a mistake is mended."""


@quarantine.command(name="list")
@SOURCE
@JSON
@connection_options
def list_quarantine(source: str | None, *, as_json: bool, connection: ConnectionOptions) -> None:
    """List refused deliveries, newest first."""

    async def collect(client: AdminClient) -> list[QuarantineRow]:
        return [row async for row in _rows(client, source)]

    print_rows(run_with_client(connection, collect), COLUMNS, as_json=as_json, nothing=NOTHING)


@quarantine.command()
@click.argument("quarantined_id", metavar="ID")
@RAW
@connection_options
def show(quarantined_id: str, *, raw: bool, connection: ConnectionOptions) -> None:
    """Show one as JSON, with credentials, signatures and personal data left out."""
    view = run_with_client(connection, lambda client: client.get_quarantined(quarantined_id, raw=raw))
    print_text(msgspec.json.format(msgspec.json.encode(view)).decode())


@quarantine.command()
@choosing
@JSON
@connection_options
def reverify(choice: Choice, *, as_json: bool, connection: ConnectionOptions) -> None:
    """Judge them again by what is configured now, and change nothing. Exit code 1 if one would be refused again."""
    _print_reverified(
        run_with_client(connection, lambda client: _each(client, choice, client.reverify_quarantined)), as_json=as_json
    )


@quarantine.command()
@choosing
@JSON
@connection_options
def release(choice: Choice, *, as_json: bool, connection: ConnectionOptions) -> None:
    """Take those in that are good by what is configured now; they leave the quarantine. The others stay."""
    _print_reverified(
        run_with_client(connection, lambda client: _each(client, choice, client.release_quarantined)), as_json=as_json
    )


@quarantine.command()
@choosing
@YES_OPTION
@JSON
@connection_options
def delete(choice: Choice, *, yes: bool, as_json: bool, connection: ConnectionOptions) -> None:
    """Delete quarantined deliveries."""

    async def go(client: AdminClient) -> int:
        chosen = [quarantined_id async for quarantined_id in _chosen(client, choice)]
        if not (choice.ids or yes) and chosen:
            confirm(f"{len(chosen)} refused deliveries will be deleted. Go on?")
        return len([await client.delete_quarantined(quarantined_id) for quarantined_id in chosen])

    deleted = run_with_client(connection, go)
    if as_json:
        print_json({"deleted": deleted})
    else:
        click.echo(f"{deleted} deleted")


async def _rows(client: AdminClient, source: str | None) -> AsyncIterator[QuarantineRow]:
    after: str | None = None
    while True:
        page = await client.list_quarantine(source, PAGE, after)
        for row in page.items:
            yield row
        after = page.next
        if after is None:
            return


async def _chosen(client: AdminClient, choice: Choice) -> AsyncIterator[str]:
    for quarantined_id in choice.ids:
        yield quarantined_id
    if not choice.ids:
        async for row in _rows(client, choice.source):
            yield row.id


async def _each(
    client: AdminClient, choice: Choice, review: Callable[[str], Awaitable[Reverified]]
) -> list[Reverified]:
    return [await review(quarantined_id) async for quarantined_id in _chosen(client, choice)]


def _print_reverified(reviewed: list[Reverified], *, as_json: bool) -> None:
    """Tell of each, and end with 1 where one is refused again."""
    if not reviewed:
        click.echo(NOTHING, err=True)
    for each in reviewed:
        if as_json:
            print_json(each)
        else:
            events = ", ".join(f"{event.status} {event.event_id or ''}".rstrip() for event in each.events)
            cells = (each.id, each.source, each.result, each.code, each.detail, events)
            print_text("  ".join(cell for cell in cells if cell))
    if any(each.result == "rejected" for each in reviewed):
        sys.exit(EXIT_NOT_ALL)
