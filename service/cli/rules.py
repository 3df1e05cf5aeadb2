"""`waybill rules dry-run`, and the group `waybill rules` with the commands that need an installation.

A dry run evaluates rules without effects: for a stored event, a record, or the last events.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import click
from msgspec import Struct

from service.actions import load_actions
from service.cli.completion import complete_version, events_in
from service.cli.connection import AdminClient, CommandError, ConnectionOptions, connection_options, run_with_client
from service.cli.dry_run_output import format_comparison, format_dry_run
from service.cli.output import JSON, print_json, print_text
from service.cli.rule_files import configured_records, rules
from service.cli.rule_statistics import stats
from service.cli.rulebook import apply, diff, export, history, list_rules, rollback, show
from service.cli.rules_plan import plan, status
from service.cli.rules_test import rules_test
from service.events import RecordRef
from service.management.dry_run import LAST_EVENTS_MAX, Candidate, RulebookComparison
from service.management.dry_run_result import DryRun
from service.rules import read_rule_files

EXIT_DIFFERENT = 1


class RuleSelection(Struct, frozen=True):
    """Subject of a dry run, and the rules to evaluate."""

    event: str | None
    record: str | None
    last: int | None
    files: Sequence[Path]
    version: str | None


@click.command(
    name="dry-run",
    epilog="\b\nExamples:\n  waybill rules dry-run --record pack:purchase_order:1\n"
    "  waybill rules dry-run --last 200 --rules rules/orders.yaml",
)
@click.option(
    "--event", default=None, shell_complete=events_in(), help="Id of a stored event. Its record is fetched now."
)
@click.option("--record", default=None, help="Record to fetch: ACCOUNT:KIND:ID, such as pack:purchase_order:1.")
@click.option(
    "--last",
    type=click.IntRange(1, LAST_EVENTS_MAX),
    help="Compare with the active rules over this number of most recent events.",
)
@click.option(
    "--rules", "files", multiple=True, type=click.Path(path_type=Path, dir_okay=False), help="Rule files to evaluate."
)
@click.option(
    "--version",
    default=None,
    shell_complete=complete_version,
    help="Rulebook version to evaluate. Default: the active version.",
)
@click.option(
    "--as-test", is_flag=True, help="With --event or --record: print a rule test with the record and the results."
)
@JSON
@connection_options
def dry_run(
    event: str | None,
    record: str | None,
    last: int | None,
    files: tuple[Path, ...],
    version: str | None,
    *,
    as_test: bool,
    as_json: bool,
    connection: ConnectionOptions,
) -> None:
    """Evaluate rules without effects.

    Give --event or --record to see every comparison. Give --last to compare rules with the active rules. Exit code 1 if
    the results differ.
    """
    if sum(item is not None for item in (event, record, last)) != 1:
        raise click.UsageError("Give exactly one of --event, --record and --last.")
    if as_test and (last is not None or as_json):
        raise click.UsageError("--as-test cannot be combined with --last or --output.")
    selection = RuleSelection(event, record, last, files, version)
    candidate = _candidate(selection)
    found = run_with_client(connection, lambda client: _run(client, candidate, selection))
    if as_json:
        print_json(found)
    elif as_test and isinstance(found, DryRun):
        _print_rule_test(found)
    else:
        for line in format_dry_run(found) if isinstance(found, DryRun) else format_comparison(found):
            print_text(line)
    if isinstance(found, RulebookComparison) and found.differences:
        sys.exit(EXIT_DIFFERENT)


def _print_rule_test(found: DryRun) -> None:
    if found.rule_test is None:
        raise CommandError(f"{found.record} has no rule test: the record is deleted, or cannot be read back.")
    print_text(found.rule_test, nl=False)


def _candidate(selection: RuleSelection) -> Candidate:
    if not selection.files:
        return Candidate(version=selection.version)
    read = read_rule_files(selection.files, load_actions(), records=configured_records())
    return Candidate(rules=[rule for file in read for rule in file.rules])


async def _run(client: AdminClient, candidate: Candidate, selection: RuleSelection) -> DryRun | RulebookComparison:
    if selection.last is not None:
        return await client.compare_rules(candidate, selection.last)
    if selection.event is not None:
        return await client.dry_run_event(candidate, selection.event)
    return await client.dry_run_record(candidate, RecordRef.parse(selection.record or "", "--record"))


for command in (rules_test, plan, apply, status, show, list_rules, history, diff, rollback, export, dry_run, stats):
    rules.add_command(command)
