"""`waybill rules plan` and `waybill rules status`: rule files against the active rulebook."""

import os
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from service.cli.connection import AdminClient, ConnectionOptions, connection_options, run_with_client
from service.cli.dev_instance import adopt_dev_instance
from service.cli.mistakes_output import FORMAT as MISTAKES_FORMAT
from service.cli.mistakes_output import Format, report_mistakes
from service.cli.output import JSON, print_json, print_text
from service.cli.rule_files import FILES, read_files
from service.errors import ConfigError, Rejection
from service.management.dry_run import LAST_EVENTS_MAX, Candidate
from service.management.rulebook import Publication, StoredRulebook
from service.management.rulebook_plan import PlannedRules, RulebookPlan, check_plan, make_plan, planned_document
from service.plurals import count_noun
from service.rules.rulebook_diff import RuleDiff
from service.rules.rulebook_document import FORMAT
from service.rules.syntax import Rule

EXIT_DIFFERENT = 1
PLAN_BYTES_MAX = 16 * 1024 * 1024


class RulebookStatus(Struct, frozen=True):
    """The active version, its publication, and the rules of files that differ from the published ones."""

    version: str
    file_rules: int
    api_rules: int
    published: Publication | None
    drift: Sequence[RuleDiff]


@click.command(
    epilog="\b\nExamples:\n  waybill rules plan\n  waybill rules plan --last 200 --out plan.json\n"
    "  waybill rules plan rules/orders.yaml --last 0"
)
@FILES
@click.option(
    "--last",
    type=click.IntRange(0, LAST_EVENTS_MAX),
    default=50,
    show_default=True,
    help="Number of most recent events to compare; 0 compares none and needs no platform.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the plan to a file for apply.")
@MISTAKES_FORMAT
@connection_options
def plan(
    files: tuple[Path, ...],
    last: int,
    out: Path | None,
    output_format: Format,
    *,
    connection: ConnectionOptions,
) -> None:
    """Show the changes that rules apply would make, without making them.

    FILES are rule files. Default: the files that waybill.yaml names. Shows the rules that differ from the active ones,
    and the matches gained and lost over the most recent events, with examples.
    """
    if connection.url is None:
        adopt_dev_instance(os.environ)
    with report_mistakes(output_format):
        rules = [rule for file in read_files(files) for rule in file.rules]
        found = run_with_client(connection, lambda client: _plan(client, rules, last))
    if out is not None:
        planned = PlannedRules(format=FORMAT, before=found.before, after=found.after, rules=tuple(rules))
        out.write_bytes(msgspec.json.encode(planned))
    if output_format == "json":
        print_json(found)
        return
    for line in _format_plan(found):
        print_text(line)


async def _plan(client: AdminClient, rules: Sequence[Rule], last: int) -> RulebookPlan:
    active = await _active(client)
    after = planned_document(active, rules)
    candidate, comparison = Candidate(rules=after.rules), None
    if active is not None and last:
        comparison = await client.compare_rules(candidate, last)
    return make_plan(active, after, comparison)


async def _active(client: AdminClient) -> StoredRulebook | None:
    try:
        return await client.get_rulebook(None)
    except Rejection as rejection:
        if rejection.status != 404:
            raise
        return None


def _format_plan(found: RulebookPlan) -> Iterator[str]:
    yield f"active {found.before or 'none'}, planned {found.after}"
    yield from _format_changes(found.rules)
    if not found.rules:
        yield "The files do not differ from the active rules."
    if found.events_evaluated is None:
        return
    skipped = f", {found.events_skipped} skipped" if found.events_skipped else ""
    yield f"over the last {count_noun(found.events_evaluated, 'event')}{skipped}:"
    for each in found.matches:
        yield f"  {each.rule_id}: {each.gained} gained, {each.lost} lost, {each.changed} changed"
        yield from (f"    {example}" for example in each.examples)
    if not found.matches:
        yield "  no result differs"


def _format_changes(changes: Sequence[RuleDiff]) -> Iterator[str]:
    for change in changes:
        yield f"{change.change} {change.rule_id}"
        yield from (f"  {line}" for line in change.lines)


@click.command(epilog="\b\nExamples:\n  waybill rules status\n  waybill rules status rules/orders.yaml")
@FILES
@JSON
@connection_options
def status(files: tuple[Path, ...], *, as_json: bool, connection: ConnectionOptions) -> None:
    """Show the active version and whether the rule files differ from it.

    FILES are rule files. Default: the files that waybill.yaml names. Exit code 1 if they differ.
    """
    if connection.url is None:
        adopt_dev_instance(os.environ)
    rules = [rule for file in read_files(files) for rule in file.rules]
    found = run_with_client(connection, lambda client: _status(client, rules))
    if as_json:
        print_json(found)
    else:
        for line in _format_status(found):
            print_text(line)
    if found.drift:
        sys.exit(EXIT_DIFFERENT)


async def _status(client: AdminClient, rules: Sequence[Rule]) -> RulebookStatus:
    active = await client.get_rulebook(None)
    published = next((each for each in await client.list_publications() if each.version == active.version), None)
    drift = make_plan(active, planned_document(active, rules), None).rules
    document = active.document
    return RulebookStatus(active.version, len(document.file_rules), len(document.api_rules), published, drift)


def _format_status(found: RulebookStatus) -> Iterator[str]:
    rules = f"{count_noun(found.file_rules, 'rule')} of files, {found.api_rules} of the admin API"
    yield f"active {found.version}: {rules}"
    if found.published is not None:
        at = datetime.fromtimestamp(found.published.at / 1000, UTC).isoformat(timespec="seconds")
        note = f": {found.published.note}" if found.published.note else ""
        yield f"published {at} by {found.published.author}{note}"
    if not found.drift:
        yield "The files are published."
        return
    yield f"{count_noun(len(found.drift), 'rule')} of the files differ from the active ones:"
    yield from _format_changes(found.drift)


def read_plan(path: Path) -> PlannedRules:
    """Read a plan that `rules plan --out` wrote.

    Raises:
        ConfigError: the file cannot be read, or is not a plan of this version.
    """
    fix = "write a plan with waybill rules plan --out FILE"
    try:
        with path.open("rb") as file:
            planned = msgspec.json.decode(file.read(PLAN_BYTES_MAX), type=PlannedRules)
    except OSError as error:
        raise ConfigError("", f"cannot be read: {error.strerror}", fix, file=str(path)) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError("", f"is not a plan ({error})", fix, file=str(path)) from None
    check_plan(planned, str(path))
    return planned
