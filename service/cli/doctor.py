"""`waybill doctor`: diagnostics of the whole installation, as a table or as JSON."""

import asyncio
import os
import sys

import click

from service.cli.dev_instance import adopt_dev_instance
from service.cli.diagnostics import Check, run_diagnostics
from service.cli.output import print_json, print_table

EXIT_FAILED = 1


@click.command(epilog="\b\nExamples:\n  waybill doctor\n  waybill doctor --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")
def doctor(*, as_json: bool) -> None:
    """Diagnose configuration, stores, platforms and rulebook.

    Writes a probe key to each store and requests one record of each platform. Exit code 1 if a check fails.
    """
    checks = asyncio.run(_run_checks())
    if as_json:
        for check in checks:
            print_json(check)
    else:
        rows = [[check.part, check.check, check.result, check.detail] for check in checks]
        print_table(["part", "check", "result", "detail"], rows)
    if any(check.result == "failed" for check in checks):
        sys.exit(EXIT_FAILED)


async def _run_checks() -> list[Check]:
    adopt_dev_instance(os.environ)
    return [check async for check in run_diagnostics(os.environ)]
