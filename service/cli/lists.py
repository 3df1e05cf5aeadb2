"""Lists as of kubectl: `-o wide|json|yaml|name` and `--watch`.

A terminal gets short columns with the age and a short id. `-o wide` and pipes get all columns with timestamps and
whole ids.
"""

import asyncio
import functools
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Generic, Literal, TypeVar, get_args

import click
import msgspec
from msgspec import Struct

from service.cli.connection import AdminClient, ConnectionOptions, run_with_client
from service.cli.output import Columns, Command, cells_of, output_option, print_json, print_table, print_text
from service.events import short_id_characters
from service.timestamps import parse_iso_time

RowT = TypeVar("RowT")

ListFormat = Literal["wide", "json", "yaml", "name"]
WATCH_SECONDS = 2.0
_AGE_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


class ListOptions(Struct, frozen=True):
    """Options of a list. `output` is None for the short table."""

    output: ListFormat | None
    watch: bool


class ListTable(Struct, Generic[RowT], frozen=True, kw_only=True):
    """Columns of a list.

    `columns` are those of a terminal; `wide` those of `-o wide` and of pipes, None for the same ones. `name` returns
    the text that other commands take for a row. `has_event_ids`: the column `id` is shortened on a terminal.
    """

    columns: Columns[RowT]
    name: Callable[[RowT], str]
    empty_message: str
    wide: Columns[RowT] | None = None
    has_event_ids: bool = False


FORMAT = output_option(
    "output",
    get_args(ListFormat),
    "Output format. wide: all columns; json: one object per line; name: only what other commands take.",
)


def list_options(command: Command) -> Command:
    """Add `--output` and `--watch` to a command, which receives them as `options`."""

    @FORMAT
    @click.option("-w", "--watch", is_flag=True, help="Continue, and print each row that is new or has changed.")
    @functools.wraps(command)
    def with_options(*args: object, output: ListFormat | None, watch: bool, **kwargs: object) -> None:
        command(*args, options=ListOptions(output, watch), **kwargs)

    return with_options


def run_list(
    connection: ConnectionOptions,
    fetch: Callable[[AdminClient], Awaitable[Sequence[RowT]]],
    table: ListTable[RowT],
    options: ListOptions,
) -> Sequence[RowT]:
    """Fetch and print a list. With `watch`, fetch it again until Ctrl-C. Return the rows of the first fetch.

    Raises:
        CommandError: as `run_with_client`.
    """

    async def run(client: AdminClient) -> Sequence[RowT]:
        first = await fetch(client)
        print_list(first, table, options.output)
        known = {table.name(row): row for row in first}
        while options.watch:
            await asyncio.sleep(WATCH_SECONDS)
            rows = await fetch(client)
            changed = [row for row in reversed(rows) if known.get(table.name(row)) != row]
            print_list(changed, table, options.output, is_first=False)
            known = {table.name(row): row for row in rows}
        return first

    try:
        return run_with_client(connection, run)
    except KeyboardInterrupt:
        if not options.watch:
            raise
        sys.exit(0)


def print_list(
    rows: Sequence[RowT], table: ListTable[RowT], output: ListFormat | None, *, is_first: bool = True
) -> None:
    """Print rows in a format. Without rows the first call prints a message on stderr, except for JSON and YAML."""
    if output == "json":
        for row in rows:
            print_json(row)
    elif output == "yaml":
        if rows:
            print_text(msgspec.yaml.encode(rows).decode(), nl=False)
    elif not rows:
        if is_first:
            print_text(table.empty_message, err=True)
    elif output == "name":
        for row in rows:
            print_text(table.name(row))
    else:
        is_wide = output == "wide" or not sys.stdout.isatty()
        columns = table.wide if is_wide and table.wide is not None else table.columns
        columns = _without_single_store(columns, rows)
        cells = cells_of(rows, columns)
        if table.has_event_ids and not is_wide:
            _shorten_ids(cells, list(columns).index("id"))
        print_table(list(columns), cells, headings=is_first, shortened=not is_wide)


def age(field: str) -> Callable[[Any], str]:
    """Return a column with the age of a timestamp field: `42s`, `5m`, `3h`, `12d`."""
    read = attrgetter(field)
    return lambda row: short_age(read(row), datetime.now(UTC))


def short_age(at: str | None, now: datetime) -> str:
    """Format the age of a timestamp in its largest unit with two digits or more where possible; '' without one."""
    if at is None:
        return ""
    seconds = max(int((now - parse_iso_time(at)).total_seconds()), 0)
    for unit, letter in _AGE_UNITS:
        if seconds >= 2 * unit or unit == 1:
            return f"{seconds // unit}{letter}"
    return ""


def _shorten_ids(cells: Sequence[list[str]], at: int) -> None:
    length = short_id_characters([row[at] for row in cells])
    for row in cells:
        row[at] = row[at][:length]


def _without_single_store(columns: Columns[RowT], rows: Sequence[RowT]) -> Columns[RowT]:
    """Return the columns without `store` if all rows are of one store."""
    if "store" not in columns or len({columns["store"](row) for row in rows}) > 1:
        return columns
    return {name: read for name, read in columns.items() if name != "store"}
