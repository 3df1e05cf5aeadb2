"""`waybill doctor`: does everything that is configured work? A table, or JSON, and an exit code."""

import asyncio
import os
import sys

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from service.console.examination import Check, examine

EXIT_FAILED = 1
STYLES = {"ok": "green", "warning": "yellow", "failed": "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
def doctor(*, as_json: bool) -> None:
    """Check configuration, stores, platforms and rulebook. Exit code 1 if something does not work."""
    checks = asyncio.run(_examine())
    if as_json:
        for check in checks:
            click.echo(msgspec.json.encode(check))
    else:
        table = Table("part", "asked", "result", "detail")
        for check in checks:
            styled = f"[{STYLES[check.result]}]{check.result}[/]"
            table.add_row(escape(check.part), escape(check.asked), styled, escape(check.detail))
        Console().print(table)
    if any(check.result == "failed" for check in checks):
        sys.exit(EXIT_FAILED)


async def _examine() -> list[Check]:
    return [check async for check in examine(os.environ)]
