"""Status commands: `waybill store`, `workers` and `polls`."""

import sys
from collections.abc import Mapping
from typing import Any

import click

from service.cli.connection import (
    EXIT_FAILED,
    ConnectionOptions,
    connection_options,
    run_with_client,
    run_with_stores,
)
from service.cli.lists import ListOptions, ListTable, list_options, run_list
from service.cli.output import JSON, columns_of, print_fields, print_json, print_table, print_text
from service.management.event_filter import format_timestamp
from service.management.status import PollView, StoreView, WorkerView
from service.management.stores import accept_stores
from service.store.connection.installation import InstallationRecord

POLLS = ListTable[PollView](
    columns=columns_of("source", "polling", "passes", "records_listed", "changed", "missed", "due_at", "store"),
    name=lambda view: view.source,
    empty_message="No source has been polled.",
)
WORKERS = ListTable[WorkerView](
    columns=columns_of("name", "alive", "running", "clock_difference_seconds", "expires_at", "store"),
    name=lambda view: view.name,
    empty_message="No worker is running. Start one with: waybill worker",
)


@click.group(
    invoke_without_command=True,
    epilog="\b\nExamples:\n  waybill store\n  waybill store --no-memory -o json\n  waybill store accept",
)
@click.option(
    "--memory/--no-memory",
    default=True,
    show_default=True,
    help="Show memory usage by kind of key. Scans all keys of the store.",
)
@JSON
@connection_options
@click.pass_context
def store(context: click.Context, *, memory: bool, as_json: bool, connection: ConnectionOptions) -> None:
    """Show the status of each store; accept a lost store.

    Shows queue, durability, the last sweep, and memory usage.
    """
    if context.invoked_subcommand is not None:
        return
    for index, view in enumerate(run_with_client(connection, lambda client: client.list_stores(memory=memory))):
        if as_json:
            print_json(view)
            continue
        if index:
            print_text()
        print_fields(_fields(view))
        if view.memory is not None:
            print_text()
            rows = [[kind.name, str(kind.keys), str(kind.bytes)] for kind in view.memory]
            print_table(["kind", "keys", "bytes"], rows)


def _fields(view: StoreView) -> Mapping[str, Any]:
    queue, sweep = view.queue, view.sweep
    loss = view.loss_window_seconds
    return {
        "store": view.name,
        "server": view.server,
        "installation": _installation(view.installation),
        "shards": view.shards,
        "durability": view.durability if loss is None else f"{view.durability}, up to {loss:g} s of data may be lost",
        "memory": f"{queue.memory_bytes} bytes" + (f", {queue.memory_percent} %" if queue.memory_percent else ""),
        "events": ", ".join(f"{number} {state}" for state, number in view.events.items()),
        "jobs": f"{queue.due} due, {queue.deferred} deferred, {queue.running} running",
        "oldest": f"{queue.oldest_age_ms} ms",
        "oldest due": f"{queue.oldest_due_ms} ms",
        "workers": queue.workers,
        "sweep": (
            f"last {format_timestamp(sweep.clock_ms)} by {sweep.sweeper or 'unknown'}" if sweep.clock_ms else "never"
        ),
    }


def _installation(record: InstallationRecord | None) -> str:
    if record is None:
        return "none yet"
    lost = "; the store is lost, run: waybill store accept" if record.lost else ""
    return f"{record.id}, generation {record.generation}{lost}"


@store.command(epilog="\b\nExamples:\n  waybill store accept\n  waybill store accept shop/waybill")
@click.argument("installation_id", default="", metavar="[ID]")
@click.option("--store", "name", help="Accept only this store, if there are several.")
@JSON
def accept(installation_id: str, name: str | None, *, as_json: bool) -> None:
    """Accept a lost store: use it again with the data that it has now.

    Run it after the log line store.lost, when the data cannot be restored, or when the store is the right one. ID is
    the installation that the line names; without it the store keeps its id. Uses the stores, never the admin API.
    """
    for accepted in run_with_stores(
        lambda client: accept_stores(client.installation.named_stores, client.actor, installation_id, name)
    ):
        if as_json:
            print_json(accepted)
            continue
        state = "accepted" if accepted.accepted else "nothing to accept"
        record = f"installation {accepted.installation_id}, generation {accepted.generation}"
        print_text(f"{accepted.store}: {state}; {record}")
        if accepted.rulebook is None:
            print_text(f"{accepted.store}: no rulebook is published. Run: waybill rules apply")


@click.command(epilog="\b\nExample:\n  waybill polls")
@list_options
@connection_options
def polls(*, options: ListOptions, connection: ConnectionOptions) -> None:
    """Show the state of each poll. Counts are of the pass in progress."""
    run_list(connection, lambda client: client.list_polls(), POLLS, options)


@click.command(epilog="\b\nExample:\n  waybill workers")
@list_options
@connection_options
def workers(*, options: ListOptions, connection: ConnectionOptions) -> None:
    """List the workers and their heartbeats. Exit code 1 if no worker is alive."""
    found = run_list(connection, lambda client: client.list_workers(), WORKERS, options)
    if not any(worker.alive for worker in found):
        sys.exit(EXIT_FAILED)
