"""`waybill erase-customer`: erasure of all stored data of a customer."""

import click
from msgspec import structs

from service.cli.bulk import DRY_RUN_OPTION, YES_OPTION, confirm
from service.cli.connection import AdminClient, CommandError, ConnectionOptions, connection_options, run_with_client
from service.cli.output import JSON, print_fields, print_json, print_text
from service.management.erasure import ErasureReport, parse_customer
from service.plurals import count_noun


@click.command(
    epilog="\b\nExamples:\n  waybill erase-customer pack:customer:4711 --dry-run\n"
    "  waybill erase-customer pack:customer:4711 --yes"
)
@click.argument("record")
@DRY_RUN_OPTION
@YES_OPTION
@JSON
@connection_options
def erase_customer(record: str, *, dry_run: bool, yes: bool, as_json: bool, connection: ConnectionOptions) -> None:
    """Erase all stored data of a customer.

    RECORD is the customer as ACCOUNT:customer:ID. Erase the customer at the platform first, so that no new event brings
    the data back. Exit code 1 if events of the customer are being processed: run the command again later.
    """
    parse_customer(record, "RECORD")

    async def erase(client: AdminClient) -> ErasureReport:
        if not yes or dry_run:
            found = await client.erase_customer(record, dry_run=True)
            if dry_run:
                return found
            _print_report(found, as_json=False)
            confirm(f"This cannot be undone. Erase {record}?")
        return await client.erase_customer(record, dry_run=False)

    report = run_with_client(connection, erase)
    _print_report(report, as_json=as_json)
    if report.in_progress:
        events = count_noun(report.in_progress, "event")
        raise CommandError(f"{events} of {record} in progress. Run the command again in a minute.")


def _print_report(report: ErasureReport, *, as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    print_text("would be erased" if report.dry_run else "erased")
    print_fields(structs.asdict(report))
