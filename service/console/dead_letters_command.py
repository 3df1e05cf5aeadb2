"""`waybill dead-letters`: list and show what waits for a person, put it back, or end it for good."""

import click
from msgspec import structs

from service.console.bulk import Walk, change_all, walking
from service.console.desk import Desk
from service.console.event_printing import collect, print_event, print_events
from service.console.events_command import AGAIN, RAW, end_with, put_back
from service.console.printing import JSON
from service.console.reaching import Way, ask, reaching
from service.console.wanting import AFTER, LIMIT, wanting
from service.oversight.replaying import REASON_CHARACTERS_MAX, Change
from service.oversight.wanted import Wanted

ERRORS = "Those with this error (platform_unavailable, outcome_unknown, …)."


def _said(_ctx: click.Context, _param: click.Parameter, reason: str) -> str:
    if not 0 < len(reason.strip()) <= REASON_CHARACTERS_MAX:
        raise click.BadParameter(f"say why, in at most {REASON_CHARACTERS_MAX} characters")
    return reason


@click.group(name="dead-letters")
def dead_letters() -> None:
    """List and show dead letters, put them back, or end them for good."""


@dead_letters.command(name="list")
@wanting("error_kind", ERRORS)
@LIMIT
@AFTER
@JSON
@reaching
def list_dead_letters(wanted: Wanted, limit: int, after: str | None, *, as_json: bool, way: Way) -> None:
    """List dead letters, those that died last first."""
    dead = structs.replace(wanted, state="dead")
    print_events(ask(way, lambda desk: collect(desk, dead, limit, after)), as_json=as_json, nothing="no dead letters")


@dead_letters.command()
@click.argument("event_id", metavar="ID")
@RAW
@JSON
@reaching
def show(event_id: str, *, raw: bool, as_json: bool, way: Way) -> None:
    """Show one with its whole history."""
    print_event(ask(way, lambda desk: desk.show_event(event_id, raw=raw, dead_only=True)), as_json=as_json)


@dead_letters.command()
@AGAIN
@walking("error_kind", ERRORS, state="dead", verb="replayed")
@reaching
def replay(ids: tuple[str, ...], walk: Walk, *, again: bool, way: Way) -> None:
    """Put dead letters back: those of IDS, or all that fit. Exit code 1 if one of IDS was left alone."""
    put_back(ids, walk, again=again, way=way)


@dead_letters.command()
@click.option("--reason", required=True, callback=_said, help="Why, for those who come after.")
@walking("error_kind", ERRORS, state="dead", verb="discarded")
@reaching
def discard(ids: tuple[str, ...], reason: str, walk: Walk, *, way: Way) -> None:
    """End dead letters for good: those of IDS, or all that fit. What they asked for is never done."""

    async def go(desk: Desk) -> list[Change]:
        return [await desk.discard_event(event_id, reason) for event_id in ids]

    if ids and walk.dry_run:
        raise click.UsageError("--dry-run is for all that fit, not for IDS")
    if ids:
        end_with(ask(way, go), as_json=walk.as_json)
    else:
        ask(way, lambda desk: change_all(walk, lambda bulk: desk.discard_page(bulk, reason)))
