"""`waybill erase-customer`: erase a customer everywhere."""

import click
from msgspec import structs

from service.cli.bulk import DRY_RUN_OPTION, YES_OPTION, confirm
from service.cli.connection import AdminClient, CommandError, ConnectionOptions, connection_options, run_with_client
from service.cli.output import JSON, print_fields, print_json
from service.management.erasure import ErasureReport


@click.command()
@click.argument("platform")
@click.argument("customer_id")
@DRY_RUN_OPTION
@YES_OPTION
@JSON
@connection_options
def erase_customer(
    platform: str, customer_id: str, *, dry_run: bool, yes: bool, as_json: bool, connection: ConnectionOptions
) -> None:
    """Erase the customer CUSTOMER_ID of PLATFORM everywhere; erase them at the platform first.

    Exit code 1 while a run has some of it in hand: ask again then.
    """

    async def go(client: AdminClient) -> ErasureReport:
        if not yes or dry_run:
            found = await client.erase_customer(platform, customer_id, dry_run=True)
            if dry_run:
                return found
            _print_report(found, as_json=False)
            confirm(f"All of this is erased for good. Forget customer {customer_id} of {platform}?")
        return await client.erase_customer(platform, customer_id, dry_run=False)

    forgotten = run_with_client(connection, go)
    _print_report(forgotten, as_json=as_json)
    if forgotten.in_progress:
        raise CommandError(f"{forgotten.in_progress} events are in hand just now; ask again in a while")


def _print_report(forgotten: ErasureReport, *, as_json: bool) -> None:
    if as_json:
        print_json(forgotten)
        return
    click.echo("would be erased" if forgotten.dry_run else "erased")
    print_fields(structs.asdict(forgotten))
