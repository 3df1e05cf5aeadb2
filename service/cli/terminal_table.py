"""Table on a terminal. `service.cli.output` imports it by name, because other output does not need rich."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

ID_WIDTH = 32


def print_terminal_table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table in the width of the terminal. The column `id` is never wrapped."""
    table = Table()
    for name in names:
        whole = name == "id"
        table.add_column(name, no_wrap=whole, overflow="fold", min_width=ID_WIDTH if whole else None)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
