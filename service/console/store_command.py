"""`waybill store`: how each store fares, and what takes its memory."""

from collections.abc import Mapping
from typing import Any

import click

from service.console.printing import JSON, print_fields, print_json, print_table
from service.console.reaching import ConnectionOptions, connection_options, run_with_client
from service.oversight.installation import StoreView
from service.oversight.wanted import format_timestamp


@click.command()
@click.option("--memory/--no-memory", default=True, help="Tell what takes the memory, by looking at every key.")
@JSON
@connection_options
def store(*, memory: bool, as_json: bool, connection: ConnectionOptions) -> None:
    """Tell how each store fares: what waits, durability, the sweep, and what takes its memory."""
    for place, view in enumerate(run_with_client(connection, lambda client: client.list_stores(weigh=memory))):
        if as_json:
            print_json(view)
            continue
        if place:
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
        "durability": view.durability if loss is None else f"{view.durability}, may lose {loss:g} s",
        "memory": f"{queue.memory_bytes} bytes" + (f", {queue.memory_percent} %" if queue.memory_percent else ""),
        "events": ", ".join(f"{number} {index}" for index, number in view.events.items()),
        "jobs": f"{queue.due} due, {queue.deferred} deferred, {queue.running} running",
        "oldest": f"{queue.oldest_age_ms} ms",
        "workers": queue.workers,
        "sweep": (
            f"by {sweep.sweeper or 'nobody'}, last {format_timestamp(sweep.clock_ms) if sweep.clock_ms else 'never'}"
        ),
    }
