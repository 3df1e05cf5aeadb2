"""Output formats: JSON with one object per line, tables on a terminal, tab-separated lines elsewhere."""

import functools
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeVar

import click
import msgspec

from service.cli.table import GAP, colour_of, table_lines

RowT = TypeVar("RowT")
Columns = Mapping[str, Callable[[RowT], Any]]


Command = Callable[..., None]


def output_option(
    parameter: str, formats: Sequence[str], text: str, default: str | None = None
) -> Callable[[Command], Command]:
    """Return a decorator that adds `--output` with these formats to a command, and `--json` for the format json."""
    choose = click.option("-o", "--output", parameter, type=click.Choice(formats), default=default, help=text)
    as_json = click.option("--json", parameter, flag_value="json", help="The same as --output json.")

    def add(command: Command) -> Command:
        return choose(as_json(command))

    return add


def _add_json(command: Command) -> Command:
    """Add `--output json` to a command, which receives `as_json`."""

    @output_option("output", ["json"], "Output format. json: one object per line.")
    @functools.wraps(command)
    def with_output(*args: object, output: str | None, **kwargs: object) -> None:
        command(*args, as_json=output == "json", **kwargs)

    return with_output


JSON = _add_json
"""Option of commands whose only other format is text."""

_CONTROLS = {
    code: f"\\u{code:04x}"
    for code in (
        *range(9), *range(11, 32), *range(127, 160),
        0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A),
    )
}  # fmt: skip
"""Control characters except tab and line feed, separators of lines, and marks that change the direction of text."""


def columns_of(*fields: str) -> Columns[Any]:
    """Return a column for each field, with spaces in its name."""
    return {field.replace("_", " "): attrgetter(field) for field in fields}


def print_rows(rows: Sequence[RowT], columns: Columns[RowT], *, as_json: bool, empty_message: str) -> None:
    """Print a list. `empty_message` is printed to stderr if the list is empty and not JSON."""
    if as_json:
        for row in rows:
            print_json(row)
    elif not rows:
        print_text(empty_message, err=True)
    else:
        print_table(list(columns), cells_of(rows, columns))


def cells_of(rows: Sequence[RowT], columns: Columns[RowT]) -> list[list[str]]:
    """Return the cells of all rows as text."""
    return [[_cell(read(row)) for read in columns.values()] for row in rows]


def print_table(
    names: Sequence[str], rows: Sequence[Sequence[str]], *, headings: bool = True, shortened: bool = True
) -> None:
    """Print a table on a terminal, tab-separated lines elsewhere. `shortened`: fit the cells into the terminal."""
    if not sys.stdout.isatty():
        for row in (names, *rows) if headings else rows:
            click.echo("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row))
        return
    escaped = [[cell.replace("\n", " ").translate(_CONTROLS) for cell in row] for row in rows]
    width = shutil.get_terminal_size().columns if shortened else None
    for at, line in enumerate(table_lines(names, escaped, width)[0 if headings else 1 :]):
        is_heading = headings and at == 0
        cells = [
            cell if is_heading else styled(cell, colour_of(name, cell)) for name, cell in zip(names, line, strict=True)
        ]
        click.echo(GAP.join(cells).rstrip())


def print_row(widths: Mapping[str, int], cells: Sequence[str], *, is_heading: bool = False) -> None:
    """Print one line of a table that has no end. `widths` are the columns with their least width."""
    if not sys.stdout.isatty():
        click.echo("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in cells))
    elif is_heading:
        click.echo(GAP.join(f"{cell.upper():<{width}}" for cell, width in zip(cells, widths.values(), strict=True)))
    else:
        escaped = [f"{cell.translate(_CONTROLS):<{width}}" for cell, width in zip(cells, widths.values(), strict=True)]
        click.echo(GAP.join(styled(cell, colour_of(name, cell)) for name, cell in zip(widths, escaped, strict=True)))


def print_json(value: object) -> None:
    """Print a value as one line of JSON."""
    print_text(msgspec.json.encode(value).decode())


def print_document(value: object, *, as_json: bool) -> None:
    """Print a value as JSON: on one line with `as_json`, otherwise with indents."""
    encoded = msgspec.json.encode(value)
    print_text((encoded if as_json else msgspec.json.format(encoded)).decode())


def print_fields(value: Mapping[str, Any]) -> None:
    """Print one name and value per line, without empty values."""
    width = max((len(name) for name in value), default=0)
    for name, item in value.items():
        if item not in (None, "", [], {}, ()):
            print_text(f"{name:<{width}}  {_cell(item)}")


def print_text(text: str = "", *, err: bool = False, nl: bool = True, colour: str | None = None) -> None:
    """Print text that may contain data from outside. On a terminal, control characters are escaped."""
    stream = sys.stderr if err else sys.stdout
    if not stream.isatty():
        click.echo(text, err=err, nl=nl)
        return
    click.echo(styled(text.translate(_CONTROLS), colour), err=err, nl=nl)


def styled(text: str, colour: str | None) -> str:
    """Return a text of a terminal in a colour. NO_COLOR and TERM=dumb switch colours off."""
    is_plain = colour is None or os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb"
    return text if is_plain else click.style(text, fg=colour)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, float):
        return f"{value:g}"
    return msgspec.json.encode(value).decode()
