"""`waybill sources`: what is configured to send to us, and what is polled."""

import click

from service.console.printing import JSON, Columns, print_rows
from service.console.reaching import ConnectionOptions, connection_options, run_with_client
from service.oversight.installation import SourceView

SOURCE_COLUMNS: Columns[SourceView] = {
    "name": lambda source: source.name,
    "platform": lambda source: source.platform,
    "path": lambda source: source.path,
    "verify": lambda source: source.verify,
    "secrets": lambda source: source.secrets,
    "envelope": lambda source: source.envelope,
    "poll seconds": lambda source: source.poll_seconds,
    "dedupe hours": lambda source: source.dedupe_hours,
    "quarantined": lambda source: source.quarantined,
}


@click.command()
@JSON
@connection_options
def sources(*, as_json: bool, connection: ConnectionOptions) -> None:
    """List the configured sources, and how many refused deliveries of each are kept."""
    found = run_with_client(connection, lambda client: client.list_sources())
    print_rows(found, SOURCE_COLUMNS, as_json=as_json, nothing="no sources are configured")
