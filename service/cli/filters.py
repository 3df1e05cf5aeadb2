"""Click options that select events, and their conversion to an EventFilter."""

import functools
from collections.abc import Callable
from datetime import datetime
from typing import Any, cast, get_args

import click

from service.cli.completion import complete_rule, complete_source
from service.management.event_filter import EVENT_OUTCOMES, EventFilter, State, Verdict, parse_time_filter


class TimestampParam(click.ParamType[datetime]):
    """A timestamp in ISO 8601 (default zone: UTC), or an age such as 90m, 2h or 3d."""

    name = "timestamp"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Convert the text to a datetime with a zone. Invalid text is a usage error."""
        if isinstance(value, datetime):
            return value
        try:
            return parse_time_filter(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


UNTIL_OPTION = click.option("--until", type=TimestampParam(), help="Only events before this timestamp or age (2h).")


def filter_options(
    result_field: str, help_text: str, *, with_until: bool = True
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options of a filter to a command. The command receives an `event_filter`.

    `result_field` is `outcome` or `error_kind`; `help_text` describes its option. `with_until`: add --until.
    """
    values = click.Choice(EVENT_OUTCOMES) if result_field == "outcome" else None

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @click.option("--source", shell_complete=complete_source, help="Filter by source.")
        @click.option("--type", help="Filter by event type, as the sender names it.")
        @click.option(f"--{result_field.removesuffix('_kind')}", result_field, type=values, help=help_text)
        @click.option("--record", help="Filter by record: an id, or a lane such as pack:customer:1.")
        @click.option(
            "--rule",
            shell_complete=complete_rule,
            help="Filter by rule: events with actions of this rule (for dead letters: unfinished actions).",
        )
        @click.option(
            "--verdict",
            type=click.Choice(get_args(Verdict)),
            help="Filter by the result of a rule: of the one of --rule, or of any.",
        )
        @click.option("--since", type=TimestampParam(), help="Only events after this timestamp or age (2h).")
        @functools.wraps(command)
        def with_filter(*args: object, **kwargs: object) -> None:
            parts = {name: kwargs.pop(name) for name in EventFilter.__struct_fields__ if name in kwargs}
            command(*args, event_filter=EventFilter(**cast("dict[str, Any]", parts)), **kwargs)

        return UNTIL_OPTION(with_filter) if with_until else with_filter

    return decorate


STATE_OPTION = click.option("--state", type=click.Choice(get_args(State)), help="Filter by state.")
LIMIT_OPTION = click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="Maximum number of results."
)
AFTER_OPTION = click.option("--after", help="Continue after this cursor (printed by the previous call).")
