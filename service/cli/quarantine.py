"""`waybill quarantine`: list, show, reverify, release and delete rejected deliveries.

Output contains names, sizes and codes. Credentials, signatures and personal data are shown with `--raw` only.
"""

import functools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import click
import msgspec
from msgspec import Struct

from service.cli.bulk import YES_OPTION, confirm
from service.cli.completion import complete_quarantined, complete_source
from service.cli.connection import AdminClient, ConnectionOptions, connection_options, run_with_client
from service.cli.lists import ListOptions, ListTable, age, list_options, run_list
from service.cli.output import JSON, columns_of, print_document, print_json, print_text
from service.management.quarantine import QuarantineRow, Reverified
from service.plurals import count_noun

EXIT_REJECTED = 1
EMPTY_MESSAGE = "The quarantine is empty."
PAGE_DELIVERIES_MAX = 200

SOURCE = click.option("--source", shell_complete=complete_source, help="Select the deliveries of this source.")
RAW = click.option("--raw", is_flag=True, help="Show body and headers without redaction. Requires the role admin.")

QUARANTINED = ListTable[QuarantineRow](
    columns={"age": age("received_at"), **columns_of("source", "code", "http_status", "id")},
    wide={
        **columns_of("received_at", "source", "code", "http_status"),
        "body bytes": lambda row: "not read" if row.body_bytes is None else row.body_bytes,
        **columns_of("id", "store"),
    },
    name=lambda row: row.id,
    has_event_ids=True,
    empty_message=EMPTY_MESSAGE,
)


class Selection(Struct, frozen=True):
    """Selection of quarantined deliveries: ids, a source, or all.

    Raises:
        click.UsageError: nothing is selected.
    """

    ids: tuple[str, ...]
    source: str | None
    every: bool

    def __post_init__(self) -> None:
        if not (self.ids or self.source or self.every):
            raise click.UsageError("Give IDS, --source, or --all.")


def selection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select deliveries to a command. The command receives a `selection`."""

    @click.argument("ids", nargs=-1, shell_complete=complete_quarantined)
    @SOURCE
    @click.option("--all", "every", is_flag=True, help="Select all.")
    @functools.wraps(command)
    def with_selection(*, ids: tuple[str, ...], source: str | None, every: bool, **options: object) -> None:
        command(selection=Selection(ids, source, every), **options)

    return with_selection


@click.group(epilog="\b\nExamples:\n  waybill quarantine list\n  waybill quarantine release --source pack-orders")
def quarantine() -> None:
    """Inspect, diagnose, reverify, release or delete quarantined deliveries.

    The quarantine stores rejected deliveries for a limited time. After a fix of the configuration, reverify and
    release them.
    """


@quarantine.command(
    name="list",
    epilog="\b\nExamples:\n  waybill quarantine list\n  waybill quarantine list --source pack-orders -o json",
)
@SOURCE
@list_options
@connection_options
def list_quarantine(source: str | None, *, options: ListOptions, connection: ConnectionOptions) -> None:
    """List quarantined deliveries, newest first."""

    async def collect(client: AdminClient) -> list[QuarantineRow]:
        return [row async for row in _rows(client, source)]

    run_list(connection, collect, QUARANTINED, options)


@quarantine.command(epilog="\b\nExample:\n  waybill quarantine show 01a227c8660d7854b3a0704388149c9e")
@click.argument("quarantined_id", metavar="ID", shell_complete=complete_quarantined)
@RAW
@JSON
@connection_options
def show(quarantined_id: str, *, raw: bool, as_json: bool, connection: ConnectionOptions) -> None:
    """Show a quarantined delivery as JSON, without credentials, signatures and personal data."""
    view = run_with_client(connection, lambda client: client.get_quarantined(quarantined_id, raw=raw))
    print_document(view, as_json=as_json)


@quarantine.command(
    epilog="\b\nExamples:\n  waybill quarantine reverify --all\n  waybill quarantine reverify --source pack-orders"
)
@selection_options
@JSON
@connection_options
def reverify(selection: Selection, *, as_json: bool, connection: ConnectionOptions) -> None:
    """Reverify deliveries with the current configuration. Changes nothing.

    Exit code 1 if a delivery would be rejected again.
    """
    _print_reverified(
        run_with_client(connection, lambda client: _reverify_each(client, selection, client.reverify_quarantined)),
        as_json=as_json,
    )


@quarantine.command(epilog="\b\nExample:\n  waybill quarantine diagnose 01a227c8660d7854b3a0704388149c9e")
@click.argument("quarantined_id", metavar="ID", shell_complete=complete_quarantined)
@JSON
@connection_options
def diagnose(quarantined_id: str, *, as_json: bool, connection: ConnectionOptions) -> None:
    """Find the scheme, encoding and configured secret that verify a delivery.

    Tries the presets, variants of the configured scheme, and common signed texts. Exit code 1 if none verifies it.
    """
    found = run_with_client(connection, lambda client: client.diagnose_quarantined(quarantined_id))
    if as_json:
        print_json(found)
    else:
        print_text(f"{found.source}: {found.code or 'verified'}  {found.detail}".rstrip())
        for match in found.matches:
            named = f" (preset {match.preset})" if match.preset else ""
            changed = "" if match.body == "as received" else f", body {match.body}"
            verify = msgspec.json.encode(match.verify).decode()
            print_text(f"{match.secret} verifies it{named}{changed} with verify: {verify}")
        if not found.matches:
            ended = "" if found.complete else " The search ended at its limit."
            print_text(f"No configured secret verifies it with a known scheme. Check the secret.{ended}", err=True)
    if not found.matches:
        sys.exit(EXIT_REJECTED)


@quarantine.command(
    epilog="\b\nExamples:\n  waybill quarantine release --source pack-orders\n  waybill quarantine release --all"
)
@selection_options
@JSON
@connection_options
def release(selection: Selection, *, as_json: bool, connection: ConnectionOptions) -> None:
    """Reverify deliveries and ingest those that are valid now.

    Ingested deliveries leave the quarantine, the others stay. Exit code 1 if one is rejected again.
    """
    _print_reverified(
        run_with_client(connection, lambda client: _reverify_each(client, selection, client.release_quarantined)),
        as_json=as_json,
    )


@quarantine.command(
    epilog="\b\nExamples:\n  waybill quarantine delete 01a227c8660d7854b3a0704388149c9e\n"
    "  waybill quarantine delete --all --yes"
)
@selection_options
@YES_OPTION
@JSON
@connection_options
def delete(selection: Selection, *, yes: bool, as_json: bool, connection: ConnectionOptions) -> None:
    """Delete quarantined deliveries."""

    async def delete_selected(client: AdminClient) -> int:
        ids = [quarantined_id async for quarantined_id in _selected_ids(client, selection)]
        if not (selection.ids or yes) and ids:
            confirm(f"{count_noun(len(ids), 'delivery', 'deliveries')} will be deleted. Continue?")
        return len([await client.delete_quarantined(quarantined_id) for quarantined_id in ids])

    deleted = run_with_client(connection, delete_selected)
    if as_json:
        print_json({"deleted": deleted})
    else:
        print_text(f"{count_noun(deleted, 'delivery', 'deliveries')} deleted")


async def _rows(client: AdminClient, source: str | None) -> AsyncIterator[QuarantineRow]:
    after: str | None = None
    while True:
        page = await client.list_quarantine(source, PAGE_DELIVERIES_MAX, after)
        for row in page.items:
            yield row
        after = page.next
        if after is None:
            return


async def _selected_ids(client: AdminClient, selection: Selection) -> AsyncIterator[str]:
    for quarantined_id in selection.ids:
        yield quarantined_id
    if not selection.ids:
        async for row in _rows(client, selection.source):
            yield row.id


async def _reverify_each(
    client: AdminClient, selection: Selection, review: Callable[[str], Awaitable[Reverified]]
) -> list[Reverified]:
    return [await review(quarantined_id) async for quarantined_id in _selected_ids(client, selection)]


def _print_reverified(reviewed: list[Reverified], *, as_json: bool) -> None:
    """Print the result of each delivery. Exit with code 1 if one is rejected again."""
    if not reviewed:
        print_text(EMPTY_MESSAGE, err=True)
    for each in reviewed:
        if as_json:
            print_json(each)
        else:
            events = ", ".join(f"{event.status} {event.event_id or ''}".rstrip() for event in each.events)
            cells = (each.id, each.source, each.result, each.code, each.detail, events)
            print_text("  ".join(cell for cell in cells if cell))
    if any(each.result == "rejected" for each in reviewed):
        sys.exit(EXIT_REJECTED)
