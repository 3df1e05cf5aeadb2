"""What a person reads: a sentence per act, the services' own lines beside it, and the table at the end."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from service.dev.demo_scenario import DemoStep, ExpectedOutcome
from service.dev.processes import ChildProcess

PLAIN_COLUMNS = 80
SHOWN = frozenset({"delivery.received", "record.fetched", "action.finished", "attempt.finished"})
"""The log lines that are shown, in short; the files have all lines with all fields."""

NEXT_STEPS = (
    ("{program} dev", "the same, until Ctrl-C: send deliveries by hand"),
    ("docs/custom-platform.md", "tutorial: connect a platform of your own"),
    ("docs/rules.md", "write your own rules"),
)


class DemoResult(Struct, frozen=True):
    """One act and what was seen of it."""

    act: DemoStep
    seen: ExpectedOutcome

    @property
    def good(self) -> bool:
        """Whether it is as it should be."""
        return self.seen == self.act.expected


class DemoReport:
    """Prints as things happen; plain text where stdout is no terminal."""

    def __init__(self) -> None:
        width = None if sys.stdout.isatty() else PLAIN_COLUMNS
        self._console = Console(highlight=False, soft_wrap=True, width=width)

    def print(self, text: str) -> None:
        """Tell one sentence."""
        self._console.print(escape(text))

    def start_step(self, number: int, title: str) -> None:
        """Open an act."""
        self._console.print(f"\n[bold]{number}. {escape(title)}[/bold]")

    def show_new_lines(self, children: Iterable[ChildProcess]) -> None:
        """Show, dimmed, the canonical lines that the children wrote since the last call, in the order of time."""
        found = [(str(line.get("timestamp", "")), child.name, line) for child in children for line in child.new_lines()]
        for _, name, line in sorted(found, key=lambda item: item[0]):
            if line.get("message") in SHOWN:
                self._console.print(f"[dim]   {name:<9} {line['message']:<17}  {escape(_in_short(line))}[/dim]")

    def table(self, rows: Sequence[DemoResult]) -> None:
        """Print each delivery and its result, and the expected result where it is another one."""
        table = Table(title="Deliveries and results; a call is a request to another system", title_justify="left")
        table.box, table.padding, table.pad_edge, table.show_edge = SIMPLE_HEAD, (0, 1, 0, 0), False, False
        for heading in ("#", "delivery", "result", ""):
            table.add_column(heading)
        for number, row in enumerate(rows, 1):
            mark = "[green]ok[/green]" if row.good else "[bold red]NOT OK[/bold red]"
            result = str(row.seen) if row.good else f"{row.seen}\nexpected: {row.act.expected}"
            table.add_row(str(number), escape(row.act.title), escape(result), mark)
        self._console.print()
        self._console.print(table, soft_wrap=False)

    def next_steps(self, program: str) -> None:
        """Print three things to do next."""
        steps = [(step.format(program=program), text) for step, text in NEXT_STEPS]
        width = max(len(step) for step, _ in steps)
        self._console.print("\nNext steps:")
        for step, text in steps:
            self._console.print(f"  {escape(step):<{width}}  {escape(text)}")


def _in_short(line: dict[str, Any]) -> str:
    """Give the fields of a log line that show its result, without ids."""
    error = f": {line['error_kind']}" if line.get("error_kind") else ""
    match line["message"]:
        case "delivery.received":
            reason = f": {line['reason']}" if line.get("reason") else ""
            return f"{line['http_status']} {line['delivery_status']}{reason}"
        case "record.fetched":
            gone = ", the record is gone" if line.get("gone") else ""
            return f"{line['http_status']} {line['outcome']}{error}{gone}"
        case "action.finished":
            return f"{line['rule_id']}/{line['action_id']} {line['outcome']}{error}"
        case _:
            attempt = f" at attempt {line['attempt']}" if line["attempt"] > 1 else ""
            after = "" if line["outcome"] == "retried" else f", after {line['e2e_ms']:.0f} ms"
            return f"{line['outcome']}{attempt}{error}{after}"
