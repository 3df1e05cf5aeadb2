"""`waybill doctor`: diagnostics of the whole installation, as a table or as JSON."""

import asyncio
import os
import sys
from collections.abc import Sequence

import click

from service.cli.dev_instance import adopt_dev_instance
from service.cli.diagnostics import run_diagnostics
from service.cli.output import JSON, print_json, print_table
from service.cli.store_diagnostics import Check
from service.events import RecordRef

EXIT_FAILED = 1


@click.command(
    epilog="\b\nExamples:\n  waybill doctor\n  waybill doctor -o json\n  waybill doctor --record pack:customer:c-1"
)
@click.option(
    "--record",
    "records",
    multiple=True,
    help="Record whose fields are checked: ACCOUNT:KIND:ID. Default: the first of each list.",
)
@JSON
def doctor(*, records: tuple[str, ...], as_json: bool) -> None:
    """Diagnose configuration, stores, platforms, destinations and rulebook.

    Writes a probe key to each store. Requests from each platform one record that does not exist and one of each kind
    that exists, and lists documented fields that the latter does not contain. Sends HEAD without credentials to each
    destination, and logs in to mail servers. Exit code 1 if a check fails.
    """
    checks = asyncio.run(_run_checks([RecordRef.parse(text, "--record") for text in records]))
    if as_json:
        for check in checks:
            print_json(check)
    else:
        rows = [[check.part, check.check, check.result, check.detail] for check in checks]
        print_table(["part", "check", "result", "detail"], rows)
    if any(check.result == "failed" for check in checks):
        sys.exit(EXIT_FAILED)


async def _run_checks(records: Sequence[RecordRef]) -> list[Check]:
    adopt_dev_instance(os.environ)
    return [check async for check in run_diagnostics(os.environ, records)]
