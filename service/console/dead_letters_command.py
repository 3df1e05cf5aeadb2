"""`waybill dead-letters`: list and show what waits for a person, put it back, or end it for good."""

import click
from msgspec import structs

from service.console.bulk import ALL, DRY_RUN, RATE, YES, Walk, change_all
from service.console.desk import Desk
from service.console.event_printing import collect, print_event, print_events
from service.console.events_command import AGAIN, RAW, end_with, replay_ids
from service.console.printing import JSON
from service.console.reaching import Way, ask, reaching
from service.console.wanting import AFTER, LIMIT, wanting
from service.oversight.replaying import Change
from service.oversight.wanted import Wanted

ERRORS = "Those with this error (platform_unavailable, outcome_unknown, …)."


@click.group(name="dead-letters")
def dead_letters() -> None:
    """List and show dead letters, put them back, or end them for good."""


@dead_letters.command(name="list")
@wanting("error", ERRORS)
@LIMIT
@AFTER
@JSON
@reaching
def list_dead_letters(wanted: Wanted, limit: int, after: str | None, *, as_json: bool, way: Way) -> None:
    """List dead letters, those that died last first."""
    dead = _dead(wanted)
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
@click.argument("ids", nargs=-1)
@wanting("error", ERRORS)
@ALL
@AGAIN
@DRY_RUN
@YES
@RATE
@AFTER
@JSON
@reaching
def replay(
    ids: tuple[str, ...],
    wanted: Wanted,
    *,
    every: bool,
    again: bool,
    dry_run: bool,
    yes: bool,
    rate: float,
    after: str | None,
    as_json: bool,
    way: Way,
) -> None:
    """Put dead letters back: those of IDS, or all that fit. Exit code 1 if one of IDS was left alone."""
    if ids:
        replay_ids(ids, again=again, dry_run=dry_run, as_json=as_json, way=way)
        return
    dead = _dead(wanted)
    walk = Walk(
        wanted=dead, every=every, dry_run=dry_run, yes=yes, rate=rate, after=after, as_json=as_json, verb="replayed"
    )
    ask(way, lambda desk: change_all(walk, lambda bulk: desk.replay_page(bulk, again=again)))


@dead_letters.command()
@click.argument("ids", nargs=-1)
@click.option("--reason", required=True, help="Why, for those who come after.")
@wanting("error", ERRORS)
@ALL
@DRY_RUN
@YES
@RATE
@AFTER
@JSON
@reaching
def discard(
    ids: tuple[str, ...],
    reason: str,
    wanted: Wanted,
    *,
    every: bool,
    dry_run: bool,
    yes: bool,
    rate: float,
    after: str | None,
    as_json: bool,
    way: Way,
) -> None:
    """End dead letters for good: those of IDS, or all that fit. What they asked for is never done."""
    if ids:
        if dry_run:
            raise click.UsageError("--dry-run is for all that fit, not for IDS")
        _discard_ids(ids, reason, as_json=as_json, way=way)
        return
    dead = _dead(wanted)
    walk = Walk(
        wanted=dead, every=every, dry_run=dry_run, yes=yes, rate=rate, after=after, as_json=as_json, verb="discarded"
    )
    ask(way, lambda desk: change_all(walk, lambda bulk: desk.discard_page(bulk, reason)))


def _discard_ids(ids: tuple[str, ...], reason: str, *, as_json: bool, way: Way) -> None:
    async def go(desk: Desk) -> list[Change]:
        return [await desk.discard_event(event_id, reason) for event_id in ids]

    end_with(ask(way, go), as_json=as_json)


def _dead(wanted: Wanted) -> Wanted:
    return structs.replace(wanted, state="dead")
