"""Output formats: JSON with one object per line, tables on a terminal, tab-separated lines elsewhere."""

import sys
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from pkgutil import resolve_name
from typing import Any, TypeVar

import click
import msgspec

RowT = TypeVar("RowT")
Columns = Mapping[str, Callable[[RowT], Any]]

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")

TERMINAL_TABLE = "service.cli.terminal_table:print_terminal_table"

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
        print_table(list(columns), [[_cell(read(row)) for read in columns.values()] for row in rows])


def print_table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on a terminal, tab-separated lines elsewhere."""
    if not sys.stdout.isatty():
        for row in (names, *rows):
            click.echo("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row))
        return
    resolve_name(TERMINAL_TABLE)(names, [[cell.translate(_CONTROLS) for cell in row] for row in rows])


def print_json(value: object) -> None:
    """Print a value as one line of JSON."""
    print_text(msgspec.json.encode(value).decode())


def print_fields(value: Mapping[str, Any]) -> None:
    """Print one name and value per line, without empty values."""
    width = max((len(name) for name in value), default=0)
    for name, item in value.items():
        if item not in (None, "", [], {}, ()):
            print_text(f"{name:<{width}}  {_cell(item)}")


def print_text(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print text that may contain data from outside. On a terminal, control characters are escaped."""
    stream = sys.stderr if err else sys.stdout
    click.echo(text.translate(_CONTROLS) if stream.isatty() else text, err=err, nl=nl)


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
