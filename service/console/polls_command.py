"""`waybill polls`: how the polls stand."""

import click

from service.console.printing import JSON, Columns, print_rows
from service.console.reaching import ConnectionOptions, connection_options, run_with_client
from service.oversight.installation import PollView

POLL_COLUMNS: Columns[PollView] = {
    "source": lambda poll: poll.source,
    "polling": lambda poll: poll.polling,
    "passes": lambda poll: poll.passes,
    "records listed": lambda poll: poll.records_listed,
    "changed": lambda poll: poll.changed,
    "missed": lambda poll: poll.missed,
    "due at": lambda poll: poll.due_at,
    "store": lambda poll: poll.store,
}


@click.command()
@JSON
@connection_options
def polls(*, as_json: bool, connection: ConnectionOptions) -> None:
    """Tell how the polls stand; the counts are those of the pass under way."""
    print_rows(
        run_with_client(connection, lambda client: client.list_polls()),
        POLL_COLUMNS,
        as_json=as_json,
        nothing="no source was polled yet",
    )
