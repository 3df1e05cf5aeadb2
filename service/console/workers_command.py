"""`waybill workers`: which workers live, by their heartbeats."""

import sys

import click

from service.console.printing import JSON, Columns, print_rows
from service.console.reaching import EXIT_FAILED, Way, ask, reaching
from service.oversight.installation import WorkerView

COLUMNS: Columns[WorkerView] = {
    "name": lambda worker: worker.name,
    "alive": lambda worker: worker.alive,
    "running": lambda worker: worker.running,
    "expires at": lambda worker: worker.expires_at,
    "store": lambda worker: worker.store,
}


@click.command()
@JSON
@reaching
def workers(*, as_json: bool, way: Way) -> None:
    """List the workers by their heartbeats. Exit code 1 if none is alive."""
    found = ask(way, lambda desk: desk.list_workers())
    print_rows(found, COLUMNS, as_json=as_json, nothing="no worker was ever here, or all left in good order")
    if not any(worker.alive for worker in found):
        sys.exit(EXIT_FAILED)
