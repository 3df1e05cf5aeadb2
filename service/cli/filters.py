"""The options that say which events are meant, and what they are read as."""

import functools
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast, get_args

import click

from service.management.event_filter import EventFilter, State

_AGO = re.compile(r"(\d{1,6})([smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class TimestampParam(click.ParamType[datetime]):
    """A moment: ISO 8601, in UTC without a zone, or how long ago, such as 90m, 2h, 3d."""

    name = "moment"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read it; what is none fails as a wrong option does."""
        if isinstance(value, datetime):
            return value
        ago = _AGO.fullmatch(str(value))
        try:
            if ago is not None:
                return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            moment = datetime.fromisoformat(str(value))
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is neither a moment such as 2026-11-20T08:15 nor an age such as 2h", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def filter_options(end: str, help_text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of a filter; it takes them as `wanted`. `end`: outcome or error_kind."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @click.option("--source", help="Events of this source.")
        @click.option("--type", help="Events of this type, in the sender's words.")
        @click.option(f"--{end.removesuffix('_kind')}", end, help=help_text)
        @click.option("--record", help="Events of this record: its id, or its lane such as pack:customer:1.")
        @click.option("--rule", help="Events that asked for effects of this rule; of dead letters, unfinished ones.")
        @click.option("--since", type=TimestampParam(), help="Not before this moment, or this long ago (2h).")
        @click.option("--until", type=TimestampParam(), help="Not after this moment, or this long ago (2h).")
        @functools.wraps(command)
        def with_filter(*args: object, **kwargs: object) -> None:
            parts = {name: kwargs.pop(name) for name in EventFilter.__struct_fields__ if name in kwargs}
            command(*args, event_filter=EventFilter(**cast("dict[str, Any]", parts)), **kwargs)

        return with_filter

    return decorate


STATE_OPTION = click.option("--state", type=click.Choice(get_args(State)), help="Events in this state.")
LIMIT_OPTION = click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="How many."
)
AFTER_OPTION = click.option("--after", help="Go on behind this place, which the call before told.")
