"""Changing all events that are meant: look, ask, then page by page at a rate, to be stopped and taken up anywhere."""

import asyncio
import functools
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import click
from msgspec import Struct, structs
from rich.console import Console
from rich.progress import Progress

from service.cli.connection import EXIT_USAGE, CommandError
from service.cli.filters import AFTER_OPTION, filter_options
from service.cli.output import JSON, print_json, print_table
from service.errors import WaybillError
from service.management.event_filter import EventFilter, State
from service.management.replay import PAGE_EVENTS_MAX, BulkRequest, EventChange, EventChangePage

SUCCESSFUL_RESULTS = frozenset({"replayed", "discarded", "planned"})

ALL_OPTION = click.option("--all", "every", is_flag=True, help="All that there are.")
YES_OPTION = click.option("--yes", is_flag=True, help="Do it without asking.")
DRY_RUN_OPTION = click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
RATE_OPTION = click.option(
    "--rate",
    type=click.FloatRange(0, 1_000, min_open=True),
    default=50,
    show_default=True,
    help="At most so many a second.",
)

PageOperation = Callable[[BulkRequest], Awaitable[EventChangePage]]
Command = Callable[..., None]


class BulkOptions(Struct, frozen=True, kw_only=True):
    """What the command line asks for; `verb` is what is done to events, for the question and the bar."""

    event_filter: EventFilter
    every: bool
    dry_run: bool
    yes: bool
    rate: float
    after: str | None
    as_json: bool
    verb: str


def bulk_options(end: str, help_text: str, *, state: State, verb: str) -> Callable[[Command], Command]:
    """Give a command the options of a change of many; it takes those named as `ids`, and all that fit as `walk`."""

    def decorate(command: Command) -> Command:
        @click.argument("ids", nargs=-1)
        @filter_options(end, help_text)
        @ALL_OPTION
        @DRY_RUN_OPTION
        @YES_OPTION
        @RATE_OPTION
        @AFTER_OPTION
        @JSON
        @functools.wraps(command)
        def walked(*, event_filter: EventFilter, **options: object) -> None:
            parts: dict[str, Any] = {
                name: options.pop(name) for name in BulkOptions.__struct_fields__ if name in options
            }
            command(
                walk=BulkOptions(event_filter=structs.replace(event_filter, state=state), verb=verb, **parts), **options
            )

        return walked

    return decorate


def confirm(question: str) -> None:
    """Ask before something is done.

    Raises:
        CommandError: there is nobody to ask.
        click.Abort: somebody was asked and said no.
    """
    if not sys.stdin.isatty():
        raise CommandError("nothing was done: add --yes, where nobody can be asked", EXIT_USAGE)
    click.confirm(question, abort=True, err=True)


async def run_bulk(walk: BulkOptions, turn: PageOperation) -> None:
    """Look what there is to do, ask, and do it.

    Raises:
        Failed, click.Abort: as `confirm`.
    """
    planned = 0
    if walk.dry_run or not walk.yes:
        counts = await _go(walk, turn, dry_run=True, total=None)
        planned = counts["planned"]
        _print_summary(counts, "would be " + walk.verb)
    if walk.dry_run or (not walk.yes and not planned):
        return
    if not walk.yes:
        confirm(f"{planned} events will be {walk.verb}. Go on?")
    _print_summary(await _go(walk, turn, dry_run=False, total=planned or None), walk.verb)


def print_results(changes: Sequence[EventChange], *, as_json: bool) -> None:
    """Print what became of single events."""
    if as_json:
        for change in changes:
            print_json(change)
        return
    rows = [[change.event_id, change.result, change.destination or "", change.reason or ""] for change in changes]
    print_table(["id", "result", "destination", "reason"], rows)


async def _go(walk: BulkOptions, turn: PageOperation, *, dry_run: bool, total: int | None) -> Counter[str]:
    """Go through all pages, and count what became of the events; what was left alone is printed with its reason."""
    # About a page a second, so that whoever stops it sees at once where it stands.
    limit = PAGE_EVENTS_MAX if dry_run else max(1, min(int(walk.rate), PAGE_EVENTS_MAX))
    bulk = BulkRequest(
        filter=walk.event_filter, all=walk.every, dry_run=dry_run, limit=limit, rate=walk.rate, after=walk.after
    )
    counts: Counter[str] = Counter()
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("looking" if dry_run else walk.verb, total=total)
        async for page in _pages(turn, bulk):
            counts.update(change.result for change in page.items)
            progress.advance(bar, len(page.items))
            left = [change for change in page.items if change.result not in SUCCESSFUL_RESULTS]
            if walk.as_json and (walk.dry_run or not dry_run):
                print_results(page.items, as_json=True)
            elif left and not dry_run:
                print_results(left, as_json=False)
    return counts


async def _pages(turn: PageOperation, bulk: BulkRequest) -> AsyncIterator[EventChangePage]:
    """Give page after page; whatever stops it on its way is told with the place to go on from."""
    place = bulk.after
    while True:
        try:
            page = await turn(structs.replace(bulk, after=place))
        except (WaybillError, asyncio.CancelledError):
            if not bulk.dry_run:
                click.echo(f"stopped; go on with --after {place}" if place else "stopped at its beginning", err=True)
            raise
        yield page
        place = page.next
        if place is None:
            return


def _print_summary(counts: Counter[str], done: str) -> None:
    parts: list[Any] = [f"{sum(counts[word] for word in SUCCESSFUL_RESULTS)} {done}"]
    parts += [
        f"{number} {word.replace('_', ' ')}"
        for word, number in sorted(counts.items())
        if word not in SUCCESSFUL_RESULTS
    ]
    click.echo(", ".join(parts), err=True)
