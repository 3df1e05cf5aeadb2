"""Status commands: `waybill store`, `sources`, `workers` and `polls`."""

import sys
from collections.abc import Mapping
from typing import Any

import click

from service.cli.connection import EXIT_FAILED, ConnectionOptions, connection_options, run_with_client
from service.cli.output import JSON, Columns, columns_of, print_fields, print_json, print_rows, print_table
from service.management.event_filter import format_timestamp
from service.management.status import PollView, SourceView, StoreView, WorkerView

POLL_COLUMNS: Columns[PollView] = columns_of(
    "source", "polling", "passes", "records_listed", "changed", "missed", "due_at", "store"
)
WORKER_COLUMNS: Columns[WorkerView] = columns_of("name", "alive", "running", "expires_at", "store")
SOURCE_COLUMNS: Columns[SourceView] = columns_of(
    "name", "platform", "path", "verify", "secrets", "envelope", "poll_seconds", "dedupe_hours", "quarantined"
)


@click.command(epilog="\b\nExamples:\n  waybill store\n  waybill store --no-memory --json")
@click.option(
    "--memory/--no-memory",
    default=True,
    show_default=True,
    help="Show memory usage by kind of key. Scans all keys of the store.",
)
@JSON
@connection_options
def store(*, memory: bool, as_json: bool, connection: ConnectionOptions) -> None:
    """Show the status of each store.

    Shows queue, durability, the last sweep, and memory usage.
    """
    for index, view in enumerate(run_with_client(connection, lambda client: client.list_stores(memory=memory))):
        if as_json:
            print_json(view)
            continue
        if index:
            click.echo()
        print_fields(_fields(view))
        if view.memory is not None:
            click.echo()
            rows = [[kind.name, str(kind.keys), str(kind.bytes)] for kind in view.memory]
            print_table(["kind", "keys", "bytes"], rows)


def _fields(view: StoreView) -> Mapping[str, Any]:
    queue, sweep = view.queue, view.sweep
    loss = view.loss_window_seconds
    return {
        "store": view.name,
        "server": view.server,
        "durability": view.durability if loss is None else f"{view.durability}, up to {loss:g} s of data may be lost",
        "memory": f"{queue.memory_bytes} bytes" + (f", {queue.memory_percent} %" if queue.memory_percent else ""),
        "events": ", ".join(f"{number} {state}" for state, number in view.events.items()),
        "jobs": f"{queue.due} due, {queue.deferred} deferred, {queue.running} running",
        "oldest": f"{queue.oldest_age_ms} ms",
        "workers": queue.workers,
        "sweep": (
            f"last {format_timestamp(sweep.clock_ms)} by {sweep.sweeper or 'unknown'}" if sweep.clock_ms else "never"
        ),
    }


@click.command(epilog="\b\nExample:\n  waybill polls")
@JSON
@connection_options
def polls(*, as_json: bool, connection: ConnectionOptions) -> None:
    """Show the state of each poll. Counts are of the pass in progress."""
    print_rows(
        run_with_client(connection, lambda client: client.list_polls()),
        POLL_COLUMNS,
        as_json=as_json,
        empty_message="No source has been polled.",
    )


@click.command(epilog="\b\nExample:\n  waybill workers")
@JSON
@connection_options
def workers(*, as_json: bool, connection: ConnectionOptions) -> None:
    """List the workers and their heartbeats. Exit code 1 if no worker is alive."""
    found = run_with_client(connection, lambda client: client.list_workers())
    message = "No worker is running. Start one with: waybill worker"
    print_rows(found, WORKER_COLUMNS, as_json=as_json, empty_message=message)
    if not any(worker.alive for worker in found):
        sys.exit(EXIT_FAILED)


@click.command(epilog="\b\nExample:\n  waybill sources")
@JSON
@connection_options
def sources(*, as_json: bool, connection: ConnectionOptions) -> None:
    """List the configured sources.

    The column `quarantined` counts the rejected deliveries in quarantine.
    """
    found = run_with_client(connection, lambda client: client.list_sources())
    print_rows(found, SOURCE_COLUMNS, as_json=as_json, empty_message="waybill.yaml has no sources.")
