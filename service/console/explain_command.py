"""`waybill explain EVENT`: the recorded decision on an event as a readable tree."""

import click

from service.console.desk import AdminClient
from service.console.events_command import RAW_OPTION
from service.console.printing import JSON, print_json, print_text
from service.console.reaching import ConnectionOptions, connection_options, run_with_client
from service.errors import Rejection
from service.oversight.views import EFFECT_STATES, EventView
from service.rules.document import Document
from service.rules.explaining import explain as explained

EXPLAINED_FIELDS = ("id", "state", "outcome", "error_kind", "waiting_for", "next_attempt_at", "history")
RECEIVED = ("type", "change", "source", "record")
"""What the history does not tell before the decision."""

LEDGER_LETTERS = {state: letter for letter, state in EFFECT_STATES.items()}


@click.command()
@click.argument("event_id", metavar="EVENT")
@RAW_OPTION
@JSON
@connection_options
def explain(event_id: str, *, raw: bool, as_json: bool, connection: ConnectionOptions) -> None:
    """Show why EVENT was decided as it was: every rule, what settled it, and what came of its effects."""
    view, document = run_with_client(connection, lambda client: _read(client, event_id, raw=raw))
    shown = {name: getattr(view, name) for name in EXPLAINED_FIELDS}
    if as_json:
        print_json(shown)
        return
    ledger = "".join(LEDGER_LETTERS[effect.state] for effect in view.effects)
    received = {name: getattr(view, name) for name in RECEIVED} if view.source else None
    for line in explained(shown | {"ledger": ledger, "received": received}, document):
        print_text(line)


async def _read(client: AdminClient, event_id: str, *, raw: bool) -> tuple[EventView, Document | None]:
    """Read the event, and the rules it was decided by if they are kept still."""
    view = await client.get_event(event_id, raw=raw, dead_only=False)
    version = next((line["rulebook"] for line in view.history if line["entry"] == "decided"), None)
    if not version:
        return view, None
    try:
        return view, (await client.get_rulebook(version)).document
    except Rejection:
        return view, None
