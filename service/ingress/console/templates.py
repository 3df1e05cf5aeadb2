"""Template engine of the console: Jinja with automatic escaping, and the filters of the templates."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, cast

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.template import TemplateConfig

from service.events import SHORT_ID_CHARACTERS, short_id_characters
from service.exchange_text import format_curl, format_exchange
from service.ingress.console.assets import asset_url
from service.plurals import count_noun
from service.rules.trace import Step
from service.rules.tree_output import format_steps, format_value

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_BYTE_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


class FieldTexts(dict[str, str]):
    """Texts by field; '' for a field without a text."""

    def __missing__(self, name: str) -> str:
        """Return the text of a missing field."""
        return ""


NAVIGATION: tuple[tuple[str, str, str, str], ...] = (
    ("overview", "/", "Overview", "g o"),
    ("events", "/events", "Events", "g e"),
    ("dead-letters", "/dead-letters", "Dead letters", "g d"),
    ("quarantine", "/quarantine", "Quarantine", "g q"),
    ("rules", "/rules", "Rules", "g r"),
    ("sources", "/sources", "Sources", "g s"),
    ("platforms", "/platforms", "Platforms", "g p"),
    ("destinations", "/destinations", "Destinations", "g t"),
    ("audit", "/audit", "Audit log", "g a"),
    ("settings", "/settings", "Settings", "g c"),
)
"""Pages of the navigation: name, address, title, keys."""


@cache
def template_config() -> TemplateConfig[JinjaTemplateEngine]:
    """Build the template engine, once per process."""
    environment = Environment(
        loader=PackageLoader("service.ingress.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(FILTERS)
    cast("dict[str, Any]", environment.globals).update(asset_url=asset_url, navigation=NAVIGATION)
    return TemplateConfig(engine=JinjaTemplateEngine.from_environment(environment))


def format_age(timestamp: str | None) -> str:
    """Format the time since a timestamp: `5 s`, `3 min`, `2 h`, `4 d`. Empty without a timestamp."""
    if not timestamp:
        return ""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(timestamp)).total_seconds()
    return f"in {format_duration(-seconds)}" if seconds < -1 else format_duration(max(seconds, 0))


def format_duration(seconds: float) -> str:
    """Format seconds in the largest unit that gives at least 1: `90 ms`, `5 s`, `3 min`, `2 h`, `4 d`."""
    if 0 < seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), (1, "s"))
    return f"{int(seconds // size)} {unit}"


def format_bytes(size: int) -> str:
    """Format a size: `512 B`, `1.5 KiB`."""
    unit = next(((unit_size, unit) for unit_size, unit in _BYTE_UNITS if size >= unit_size), None)
    return f"{size / unit[0]:.1f} {unit[1]}" if unit else f"{size} B"


def format_json(value: object) -> str:
    """Format a value as indented JSON, text as it is."""
    if isinstance(value, str):
        return value
    return json.dumps(json.loads(msgspec.json.encode(value)), indent=2, ensure_ascii=False)


def short_id(text: str, characters: int = SHORT_ID_CHARACTERS) -> str:
    """Return the first characters of an id, as lists of the commands show it."""
    return text[:characters]


def to_timestamp(at_ms: float) -> str:
    """Return milliseconds since the epoch as ISO 8601."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")


def format_clock(timestamp: str | None) -> str:
    """Format a timestamp for a table: `2026-11-20 08:15:30`, in UTC."""
    return datetime.fromisoformat(timestamp).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if timestamp else ""


def _format_trace(steps: Sequence[Step]) -> str:
    return "\n".join(format_steps(steps))


def _format_exchange(exchange: Mapping[str, Any]) -> str:
    return "\n".join(format_exchange(exchange))


def _format_curl(exchange: Mapping[str, Any]) -> str:
    return "\n".join(format_curl(exchange))


def _with_spaces(text: object) -> str:
    return str(text).replace("_", " ")


FILTERS: dict[str, Callable[..., Any]] = {
    "ago": format_age,
    "duration": format_duration,
    "bytes": format_bytes,
    "count": count_noun,
    "pretty": format_json,
    "exchange": _format_exchange,
    "curl": _format_curl,
    "value": format_value,
    "spaced": _with_spaces,
    "short": short_id,
    "short_characters": short_id_characters,
    "at": to_timestamp,
    "clock": format_clock,
    "steps": _format_trace,
}
"""Filters of the templates."""


def context_of(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables of a template with the defaults of the layout. A field without an error has the error ''."""
    context: dict[str, Any] = {"active": "", "notice": None, "errors": {}, "fields": {}, **variables}
    for name in ("errors", "fields"):
        context[name] = FieldTexts(context[name])
    return context
