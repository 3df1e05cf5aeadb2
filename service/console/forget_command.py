"""`waybill erase-customer`: erase a customer everywhere."""

import click
from msgspec import structs

from service.console.bulk import DRY_RUN, YES, confirm
from service.console.desk import Desk
from service.console.printing import JSON, print_fields, print_json
from service.console.reaching import Failed, Way, ask, reaching
from service.oversight.forgetting import Forgotten


@click.command()
@click.argument("platform")
@click.argument("customer_id")
@DRY_RUN
@YES
@JSON
@reaching
def forget(platform: str, customer_id: str, *, dry_run: bool, yes: bool, as_json: bool, way: Way) -> None:
    """Erase the customer CUSTOMER_ID of PLATFORM everywhere; erase them at the platform first.

    Exit code 1 while a run has some of it in hand: ask again then.
    """

    async def go(desk: Desk) -> Forgotten:
        if not yes or dry_run:
            found = await desk.forget(platform, customer_id, dry_run=True)
            if dry_run:
                return found
            _tell(found, as_json=False)
            confirm(f"All of this is erased for good. Forget customer {customer_id} of {platform}?")
        return await desk.forget(platform, customer_id, dry_run=False)

    forgotten = ask(way, go)
    _tell(forgotten, as_json=as_json)
    if forgotten.in_progress:
        raise Failed(f"{forgotten.in_progress} events are in hand just now; ask again in a while")


def _tell(forgotten: Forgotten, *, as_json: bool) -> None:
    if as_json:
        print_json(forgotten)
        return
    click.echo("would be erased" if forgotten.dry_run else "erased")
    print_fields(structs.asdict(forgotten))
