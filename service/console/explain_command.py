"""`waybill explain EVENT`: the recorded decision on an event as a readable tree."""

import click

from service.console.desk import Desk
from service.console.events_command import RAW
from service.console.printing import JSON, print_json, print_text
from service.console.reaching import Way, ask, reaching
from service.errors import Refusal
from service.oversight.views import EFFECT_STATES, EventView
from service.rules.document import Document
from service.rules.explaining import explain as explained

TOLD = ("id", "state", "outcome", "error_kind", "waiting_for", "next_attempt_at", "history")
RECEIVED = ("type", "change", "source", "record")
"""What the history does not tell before the decision."""

LETTERS = {state: letter for letter, state in EFFECT_STATES.items()}


@click.command()
@click.argument("event_id", metavar="EVENT")
@RAW
@JSON
@reaching
def explain(event_id: str, *, raw: bool, as_json: bool, way: Way) -> None:
    """Show why EVENT was decided as it was: every rule, what settled it, and what came of its effects."""
    view, document = ask(way, lambda desk: _read(desk, event_id, raw=raw))
    shown = {name: getattr(view, name) for name in TOLD}
    if as_json:
        print_json(shown)
        return
    ledger = "".join(LETTERS[effect.state] for effect in view.effects)
    received = {name: getattr(view, name) for name in RECEIVED} if view.source else None
    for line in explained(shown | {"ledger": ledger, "received": received}, document):
        print_text(line)


async def _read(desk: Desk, event_id: str, *, raw: bool) -> tuple[EventView, Document | None]:
    """Read the event, and the rules it was decided by if they are kept still."""
    view = await desk.show_event(event_id, raw=raw, dead_only=False)
    version = next((line["rulebook"] for line in view.history if line["entry"] == "decided"), None)
    if not version:
        return view, None
    try:
        return view, (await desk.rulebook(version)).document
    except Refusal:
        return view, None
