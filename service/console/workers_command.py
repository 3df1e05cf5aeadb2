"""`waybill workers`: which workers live, by their heartbeats."""

import sys

import click

from service.console.printing import JSON, Columns, print_rows
from service.console.reaching import EXIT_FAILED, ConnectionOptions, connection_options, run_with_client
from service.oversight.installation import WorkerView

WORKER_COLUMNS: Columns[WorkerView] = {
    "name": lambda worker: worker.name,
    "alive": lambda worker: worker.alive,
    "running": lambda worker: worker.running,
    "expires at": lambda worker: worker.expires_at,
    "store": lambda worker: worker.store,
}


@click.command()
@JSON
@connection_options
def workers(*, as_json: bool, connection: ConnectionOptions) -> None:
    """List the workers by their heartbeats. Exit code 1 if none is alive."""
    found = run_with_client(connection, lambda client: client.list_workers())
    print_rows(found, WORKER_COLUMNS, as_json=as_json, nothing="no worker was ever here, or all left in good order")
    if not any(worker.alive for worker in found):
        sys.exit(EXIT_FAILED)
