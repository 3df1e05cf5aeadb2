"""Output of the demonstration: a title per step, log lines of the processes, and a table of results."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from service.dev.demo_scenario import DemoOutcome, DemoStep
from service.dev.processes import ChildProcess

PLAIN_COLUMNS = 80
STEP_COLUMNS_MAX = 36
SHOWN = frozenset({"delivery.received", "record.fetched", "action.finished", "attempt.finished"})
"""Log lines that are printed in short form. The files contain all lines with all fields."""

NEXT_STEPS = (
    ("{program} dev", "run the same installation until Ctrl-C"),
    ("{program} open", "open its console, from a second terminal"),
    ("docs/tutorials/first-event.md", "tutorial: write and run your own files"),
)


class DemoResult(Struct, frozen=True):
    """A step and its actual outcome."""

    step: DemoStep
    actual: DemoOutcome

    @property
    def passed(self) -> bool:
        """Return whether the outcome is the expected one."""
        return self.actual == self.step.expected


class DemoReport:
    """Printer of progress and results. Prints plain text if stdout is not a terminal."""

    def __init__(self) -> None:
        width = None if sys.stdout.isatty() else PLAIN_COLUMNS
        self._console = Console(highlight=False, soft_wrap=True, width=width)

    def print(self, text: str) -> None:
        """Print a line."""
        self._console.print(escape(text))

    def start_step(self, number: int, title: str) -> None:
        """Print the title of a step."""
        self._console.print(f"\n[bold]{number}. {escape(title)}[/bold]")

    def show_new_lines(self, processes: Iterable[ChildProcess]) -> None:
        """Print the log lines that the processes wrote since the last call, ordered by time."""
        lines = [
            (str(line.get("timestamp", "")), process.name, line)
            for process in processes
            for line in process.new_lines()
        ]
        for _, name, line in sorted(lines, key=lambda item: item[0]):
            if line.get("message") in SHOWN:
                self._console.print(f"[dim]   {name:<9} {line['message']:<17}  {escape(_short_form(line))}[/dim]")

    def table(self, rows: Sequence[DemoResult]) -> None:
        """Print each delivery with its result, and the expected result if it differs."""
        table = Table(title="Deliveries and results; a call is a request to another system", title_justify="left")
        table.box, table.padding, table.pad_edge, table.show_edge = SIMPLE_HEAD, (0, 1, 0, 0), False, False
        for heading in ("#", "delivery", "result", ""):
            table.add_column(heading)
        for number, row in enumerate(rows, 1):
            mark = "[green]ok[/green]" if row.passed else "[bold red]NOT OK[/bold red]"
            result = str(row.actual) if row.passed else f"{row.actual}\nexpected: {row.step.expected}"
            table.add_row(str(number), escape(row.step.title), escape(result), mark)
        self._console.print()
        self._console.print(table, soft_wrap=False)

    def next_steps(self, program: str) -> None:
        """Print three next steps."""
        steps = [(step.format(program=program), text) for step, text in NEXT_STEPS]
        width = min(max(len(step) for step, _ in steps), STEP_COLUMNS_MAX)
        self._console.print("\nNext steps:")
        for step, text in steps:
            self._console.print(f"  {escape(step):<{width}}  {escape(text)}")


def _short_form(line: dict[str, Any]) -> str:
    """Return the fields of a log line that show its result, without ids."""
    error = f": {line['error_kind']}" if line.get("error_kind") else ""
    match line["message"]:
        case "delivery.received":
            reason = f": {line['reason']}" if line.get("reason") else ""
            return f"{line['http_status']} {line['delivery_status']}{reason}"
        case "record.fetched":
            gone = ", record deleted" if line.get("gone") else ""
            return f"{line['http_status']} {line['outcome']}{error}{gone}"
        case "action.finished":
            return f"{line['rule_id']}/{line['action_id']} {line['outcome']}{error}"
        case _:
            attempt = f" at attempt {line['attempt']}" if line["attempt"] > 1 else ""
            after = "" if line["outcome"] == "retried" else f", after {line['e2e_ms']:.0f} ms"
            return f"{line['outcome']}{attempt}{error}{after}"
