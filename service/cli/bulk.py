"""Changes of many events: count, confirm, then process page by page at a rate. Can be interrupted and continued."""

import asyncio
import functools
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import click
from msgspec import Struct, structs

from service.cli.completion import events_in
from service.cli.connection import EXIT_USAGE, CommandError
from service.cli.filters import AFTER_OPTION, filter_options
from service.cli.output import JSON, print_json, print_table, print_text
from service.errors import WaybillError
from service.management.event_filter import EventFilter, State
from service.management.replay import PAGE_EVENTS_MAX, BulkRequest, EventChange, EventChangePage
from service.plurals import count_noun

SUCCESSFUL_RESULTS = frozenset({"replayed", "discarded", "planned"})

ALL_OPTION = click.option("--all", "every", is_flag=True, help="Select all.")
YES_OPTION = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
DRY_RUN_OPTION = click.option("--dry-run", is_flag=True, help="Print what would be done, and change nothing.")
RATE_OPTION = click.option(
    "--rate",
    type=click.FloatRange(0.1, 1_000),
    default=50,
    show_default=True,
    help="Maximum number of events per second.",
)

PageOperation = Callable[[BulkRequest], Awaitable[EventChangePage]]
Command = Callable[..., None]


class BulkOptions(Struct, frozen=True, kw_only=True):
    """Options of a bulk command. `verb` is the past participle of the change: replayed, discarded."""

    event_filter: EventFilter
    every: bool
    dry_run: bool
    yes: bool
    rate: float
    after: str | None
    as_json: bool
    verb: str


def bulk_options(result_field: str, help_text: str, *, state: State, verb: str) -> Callable[[Command], Command]:
    """Add the options of a bulk change to a command. The command receives `ids` and `bulk`, a BulkOptions."""

    def decorate(command: Command) -> Command:
        @click.argument("ids", nargs=-1, shell_complete=events_in(state))
        @filter_options(result_field, help_text)
        @ALL_OPTION
        @DRY_RUN_OPTION
        @YES_OPTION
        @RATE_OPTION
        @AFTER_OPTION
        @JSON
        @functools.wraps(command)
        def with_bulk_options(*, event_filter: EventFilter, **options: object) -> None:
            parts: dict[str, Any] = {
                name: options.pop(name) for name in BulkOptions.__struct_fields__ if name in options
            }
            command(
                bulk=BulkOptions(event_filter=structs.replace(event_filter, state=state), verb=verb, **parts), **options
            )

        return with_bulk_options

    return decorate


def confirm(question: str) -> None:
    """Ask for confirmation on a terminal.

    Raises:
        CommandError: stdin is not a terminal.
        click.Abort: the answer is no.
    """
    if not sys.stdin.isatty():
        raise CommandError("Nothing was changed: stdin is not a terminal. Add --yes to confirm.", EXIT_USAGE)
    click.confirm(question, abort=True, err=True)


async def run_bulk(bulk: BulkOptions, change_page: PageOperation) -> None:
    """Count the events, ask for confirmation, and change them page by page.

    Raises:
        CommandError: confirmation is required, and stdin is not a terminal.
        click.Abort: the answer is no.
    """
    planned = 0
    if bulk.dry_run or not bulk.yes:
        counts = await _change_all(bulk, change_page, dry_run=True, total=None)
        planned = counts["planned"]
        _print_summary(counts, "would be " + bulk.verb)
    if bulk.dry_run or (not bulk.yes and not planned):
        return
    if not bulk.yes:
        confirm(f"{count_noun(planned, 'event')} will be {bulk.verb}. Continue?")
    _print_summary(await _change_all(bulk, change_page, dry_run=False, total=planned or None), bulk.verb)


def print_results(changes: Sequence[EventChange], *, as_json: bool) -> None:
    """Print the result of each event."""
    if as_json:
        for change in changes:
            print_json(change)
        return
    rows = [[change.event_id, change.result, change.destination or "", change.reason or ""] for change in changes]
    print_table(["id", "result", "destination", "reason"], rows)


async def _change_all(
    bulk: BulkOptions, change_page: PageOperation, *, dry_run: bool, total: int | None
) -> Counter[str]:
    """Change all pages and count the results. Events that are not changed are printed with the reason."""
    # Pages of about one second, so that an interruption takes effect quickly.
    limit = PAGE_EVENTS_MAX if dry_run else max(1, min(int(bulk.rate), PAGE_EVENTS_MAX))
    request = BulkRequest(
        filter=bulk.event_filter, all=bulk.every, dry_run=dry_run, limit=limit, rate=bulk.rate, after=bulk.after
    )
    counts: Counter[str] = Counter()
    hidden = total is None or not sys.stderr.isatty()
    with click.progressbar(length=total or 0, label=bulk.verb, file=sys.stderr, hidden=hidden) as progress:
        async for page in _pages(change_page, request):
            counts.update(change.result for change in page.items)
            progress.update(len(page.items))
            skipped = [change for change in page.items if change.result not in SUCCESSFUL_RESULTS]
            if bulk.as_json and (bulk.dry_run or not dry_run):
                print_results(page.items, as_json=True)
            elif skipped and not dry_run:
                print_results(skipped, as_json=False)
    return counts


async def _pages(change_page: PageOperation, request: BulkRequest) -> AsyncIterator[EventChangePage]:
    """Yield page after page. On an interruption, print the cursor with which the command can continue."""
    cursor = request.after
    while True:
        try:
            page = await change_page(structs.replace(request, after=cursor))
        except (WaybillError, asyncio.CancelledError):
            if not request.dry_run:
                print_text(f"Stopped. Continue with --after {cursor}" if cursor else "Stopped at the start.", err=True)
            raise
        yield page
        cursor = page.next
        if cursor is None:
            return


def _print_summary(counts: Counter[str], verb: str) -> None:
    changed = sum(counts[result] for result in SUCCESSFUL_RESULTS)
    others = [
        f"{number} {result.replace('_', ' ')}"
        for result, number in sorted(counts.items())
        if result not in SUCCESSFUL_RESULTS
    ]
    print_text(", ".join([f"{count_noun(changed, 'event')} {verb}", *others]), err=True)
