"""`waybill doctor`: does everything that is configured work? A table, or JSON, and an exit code."""

import asyncio
import os
import sys

import click

from service.cli.dev_instance import adopt_dev_instance
from service.cli.diagnostics import Check, run_diagnostics
from service.cli.output import print_json, print_table

EXIT_FAILED = 1


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
def doctor(*, as_json: bool) -> None:
    """Check configuration, stores, platforms and rulebook. Exit code 1 if something does not work."""
    checks = asyncio.run(_examine())
    if as_json:
        for check in checks:
            print_json(check)
    else:
        rows = [[check.part, check.asked, check.result, check.detail] for check in checks]
        print_table(["part", "asked", "result", "detail"], rows)
    if any(check.result == "failed" for check in checks):
        sys.exit(EXIT_FAILED)


async def _examine() -> list[Check]:
    adopt_dev_instance(os.environ)
    return [check async for check in run_diagnostics(os.environ)]
