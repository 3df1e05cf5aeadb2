"""`waybill rules stats`: results of the rules over the newest events, in all and by day."""

from collections.abc import Mapping, Sequence

import click
from msgspec import Struct

from service.cli.completion import complete_rule
from service.cli.connection import AdminClient, ConnectionOptions, connection_options, run_with_client
from service.cli.output import JSON, columns_of, print_json, print_rows, print_text
from service.errors import ConfigError
from service.management.rule_statistics import STATISTICS_EVENTS_MAX, RuleStatistics
from service.plurals import count_noun

EVENTS_DEFAULT = 1_000
COLUMNS = columns_of("rule", "day", "matched", "unmatched", "unknown", "error", "last_match")


class _Row(Struct, frozen=True):
    """Row of the table: a rule in all, or on one day."""

    rule: str
    day: str
    matched: int
    unmatched: int
    unknown: int
    error: int
    last_match: str | None = None


@click.command(
    name="stats", epilog="\b\nExamples:\n  waybill rules stats\n  waybill rules stats short-receipt --events 5000"
)
@click.argument("rule_id", required=False, shell_complete=complete_rule)
@click.option(
    "--events",
    "events_max",
    type=click.IntRange(1, STATISTICS_EVENTS_MAX),
    default=EVENTS_DEFAULT,
    show_default=True,
    help="Number of most recent events to read.",
)
@JSON
@connection_options
def stats(rule_id: str | None, events_max: int, *, as_json: bool, connection: ConnectionOptions) -> None:
    """Count the results of each active rule: matched, unmatched, unknown, error.

    Counts the decisions on the most recent events that ended, in all and by day (UTC), and shows the last match. Give
    RULE_ID for one rule.
    """
    rules, events = run_with_client(connection, lambda client: _read(client, rule_id, events_max))
    if as_json:
        for name, statistics in rules.items():
            print_json({"rule_id": name, "statistics": statistics})
        return
    rows = [row for name, statistics in rules.items() for row in _rows(name, statistics)]
    print_rows(rows, COLUMNS, as_json=False, empty_message="No rule is active.")
    print_text(f"Results of the newest {count_noun(events, 'event')}.", err=True)


async def _read(client: AdminClient, rule_id: str | None, events_max: int) -> tuple[Mapping[str, RuleStatistics], int]:
    """Return the statistics of the active rules in the order of evaluation, and the number of events."""
    active = [rule.id for rule in (await client.get_rulebook(None)).document.rules]
    if rule_id is not None and rule_id not in active:
        raise ConfigError(rule_id, "the active rulebook has no such rule", "run waybill rules list for the ids")
    report = await client.rule_statistics(events_max)
    names = active if rule_id is None else [rule_id]
    return {name: report.rules.get(name, RuleStatistics()) for name in names}, report.events


def _rows(name: str, found: RuleStatistics) -> Sequence[_Row]:
    total = _Row(name, "all", found.matched, found.unmatched, found.unknown, found.error, found.last_matched_at)
    days = [_Row(name, day.day, day.matched, day.unmatched, day.unknown, day.error) for day in found.days]
    return [total, *days]
