"""`waybill polls`: how the polls stand."""

import click

from service.console.printing import JSON, Columns, print_rows
from service.console.reaching import Way, ask, reaching
from service.oversight.installation import PollView

COLUMNS: Columns[PollView] = {
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
@reaching
def polls(*, as_json: bool, way: Way) -> None:
    """Tell how the polls stand; the counts are those of the pass under way."""
    print_rows(ask(way, lambda desk: desk.list_polls()), COLUMNS, as_json=as_json, nothing="no source was polled yet")
