"""What a person reads: a sentence per act, the services' own lines beside it, and the table at the end."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from service.dev.children import Child
from service.dev.scenario import Act, Fate

PLAIN_COLUMNS = 140
SHOWN = {
    "delivery.received": ("delivery_status", "reason", "http_status", "source_name", "duration_ms"),
    "record.fetched": ("operation", "outcome", "http_status", "error_kind", "gone", "duration_ms"),
    "action.finished": ("rule_id", "action_id", "outcome", "error_kind", "duration_ms"),
    "attempt.finished": ("outcome", "attempt", "error_kind", "rules_matched", "actions_run", "e2e_ms"),
}
"""The canonical lines and the fields of each that are worth a glance; the files have them all."""


class Row(Struct, frozen=True):
    """One act and what was seen of it."""

    act: Act
    seen: Fate

    @property
    def good(self) -> bool:
        """Whether it is as it should be."""
        return self.seen == self.act.expected


class Story:
    """Prints as things happen; plain text where stdout is no terminal."""

    def __init__(self) -> None:
        width = None if sys.stdout.isatty() else PLAIN_COLUMNS
        self._console = Console(highlight=False, soft_wrap=True, width=width)

    def say(self, text: str) -> None:
        """Tell one sentence."""
        self._console.print(escape(text))

    def begin(self, number: int, title: str) -> None:
        """Open an act."""
        self._console.print(f"\n[bold]{number}. {escape(title)}[/bold]")

    def show_new_lines(self, children: Iterable[Child]) -> None:
        """Show, dimmed, the canonical lines that the children wrote since the last call, in the order of time."""
        found = [(str(line.get("timestamp", "")), child.name, line) for child in children for line in child.new_lines()]
        for _, name, line in sorted(found, key=lambda item: item[0]):
            fields = SHOWN.get(str(line.get("message")))
            if fields:
                self._console.print(f"[dim]   {name:<9} {_in_short(line, fields)}[/dim]")

    def table(self, rows: Sequence[Row]) -> None:
        """Print what was sent and what became of it, expected against seen."""
        table = Table(title="What was sent, and what became of it", title_justify="left")
        for heading in ("#", "sent", "expected", "seen", ""):
            table.add_column(heading)
        for number, row in enumerate(rows, 1):
            mark = "[green]ok[/green]" if row.good else "[bold red]NOT OK[/bold red]"
            table.add_row(str(number), escape(row.act.title), str(row.act.expected), str(row.seen), mark)
        self._console.print()
        self._console.print(table, soft_wrap=False)


def _in_short(line: dict[str, Any], fields: Iterable[str]) -> str:
    event_id = str(line.get("event_id") or "")
    told = [f"{name}={line[name]}" for name in fields if line.get(name) not in {None, False}]
    if event_id:
        told.append(f"event_id=…{event_id[-6:]}")
    return escape(f"{line['message']:<17} {' '.join(told)}")
