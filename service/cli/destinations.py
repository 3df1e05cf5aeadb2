"""`waybill destinations`: targets of actions, their circuits, and test calls."""

import sys

import click

from service.cli.circuits import format_last_error
from service.cli.completion import complete_destination
from service.cli.connection import ConnectionOptions, connection_options, run_with_client
from service.cli.lists import ListOptions, ListTable, list_options, run_list
from service.cli.output import JSON, columns_of, print_document, print_json, print_rows, print_text
from service.destinations.destination import Probe
from service.management.destinations import TEST_METHODS, DestinationView

EXIT_FAILED = 1

DESTINATIONS = ListTable[DestinationView](
    columns={
        **columns_of("name", "kind", "url", "circuit"),
        "open for": lambda view: "" if view.circuit != "open" else f"{view.open_seconds:.0f} s",
        "parked jobs": lambda view: str(view.parked_jobs),
        "last error": lambda view: format_last_error(view.last_error),
    },
    name=lambda view: view.name,
    empty_message="waybill.yaml has no destinations.",
)


@click.group(epilog="\b\nExamples:\n  waybill destinations list\n  waybill destinations test erp --path /health")
def destinations() -> None:
    """Show, pause, resume and test the targets of actions."""


@destinations.command("list", epilog="\b\nExample:\n  waybill destinations list")
@list_options
@connection_options
def list_(*, options: ListOptions, connection: ConnectionOptions) -> None:
    """List the destinations of waybill.yaml with their circuits.

    Hosts of plain URLs are listed while their circuit is open or events wait for them.
    """
    run_list(connection, lambda client: client.list_destinations(), DESTINATIONS, options)


@destinations.command("show", epilog="\b\nExample:\n  waybill destinations show erp")
@click.argument("name", shell_complete=complete_destination)
@JSON
@connection_options
def show(name: str, *, as_json: bool, connection: ConnectionOptions) -> None:
    """Print one destination with its circuit and its configuration as JSON. Secrets are references."""
    print_document(run_with_client(connection, lambda client: client.get_destination(name)), as_json=as_json)


@destinations.command("pause", epilog="\b\nExample:\n  waybill destinations pause erp")
@click.argument("name", shell_complete=complete_destination)
@JSON
@connection_options
def pause(name: str, *, as_json: bool, connection: ConnectionOptions) -> None:
    """Pause a destination: no worker calls it until it is resumed. Its events are parked and use no attempt.

    The name of a plain URL is its host and port, such as erp.example.com:443.
    """
    _print(run_with_client(connection, lambda client: client.pause_destination(name)), as_json=as_json)


@destinations.command("resume", epilog="\b\nExample:\n  waybill destinations resume erp")
@click.argument("name", shell_complete=complete_destination)
@JSON
@connection_options
def resume(name: str, *, as_json: bool, connection: ConnectionOptions) -> None:
    """Close the circuit of a destination, paused or open. Its parked events are freed gradually."""
    _print(run_with_client(connection, lambda client: client.resume_destination(name)), as_json=as_json)


@destinations.command(
    "test",
    epilog="\b\nExamples:\n  waybill destinations test erp\n"
    "  waybill destinations test erp --method HEAD --path /health",
)
@click.argument("name", shell_complete=complete_destination)
@click.option("--method", type=click.Choice(TEST_METHODS), default="GET", show_default=True, help="HTTP method.")
@click.option("--path", default="", help="Path below the URL of the destination, such as /health.")
@JSON
@connection_options
def test(name: str, *, method: str, path: str, as_json: bool, connection: ConnectionOptions) -> None:
    """Send one test request to a destination, and print request and answer without secrets.

    Kind http sends no body, with credentials and signature. Kinds slack and teams post a test message. Kind webhook
    sends a signed event of the type waybill.test. Kind email logs in without a message. Limits and circuit do not
    apply. With --url, the service sends the request, which requires the role admin. Exit code 1 if there is no answer,
    or a status outside 200 to 299.
    """
    probe = run_with_client(connection, lambda client: client.test_destination(name, method, path))
    if as_json:
        print_json(probe)
    else:
        _print_probe(probe)
    if probe.status is None or not 200 <= probe.status < 300:
        sys.exit(EXIT_FAILED)


def _print(view: DestinationView, *, as_json: bool) -> None:
    print_rows([view], DESTINATIONS.columns, as_json=as_json, empty_message="")


def _print_probe(probe: Probe) -> None:
    print_text(f"> {probe.request.method} {probe.request.url}")
    for header, value in probe.request.headers.items():
        print_text(f"> {header}: {value}")
    if probe.error is not None:
        print_text(f"< {probe.error}")
        return
    print_text(f"< {probe.status} in {probe.duration_ms:g} ms")
    for header, value in probe.headers.items():
        print_text(f"< {header}: {value}")
    if probe.body:
        print_text(probe.body)
