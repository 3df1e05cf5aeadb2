"""Checks of destinations, also of those that cannot be decoded: one mistake does not hide the others."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from msgspec import UNSET

from service.config.decoding import ExpectedType, decode_config, valid_parts
from service.config.destinations import DEFAULT_KIND, DestinationConfig
from service.errors import ConfigError
from service.events import JsonValue
from service.mistakes import is_consequence

_ADDRESSES: tuple[dict[str, str], ...] = ({}, {"url": "https://unknown.invalid"}, {"host": "unknown.invalid"})
"""Stand for an address that is missing or malformed, without which a destination has no valid part."""


def add_default_kind(destination: JsonValue, _at: str) -> JsonValue:
    """Add the default kind to an entry of `destinations`."""
    return (
        {"kind": DEFAULT_KIND, **cast("dict[str, Any]", destination)} if isinstance(destination, dict) else destination
    )


def check_destination_entries(
    entries: Mapping[str, JsonValue],
    decoded: Mapping[str, DestinationConfig | None],
    expected: ExpectedType,
    environ: Mapping[str, str],
    found: Sequence[ConfigError],
) -> Iterator[ConfigError]:
    """Yield the mistakes in destinations that no single field shows.

    `entries` are the plain data. `decoded` has None for an entry with the mistakes in `found`: of it, the valid fields
    are checked.
    """
    wrong = {mistake.path for mistake in found}
    for name, destination in decoded.items():
        at = f"destinations.{name}"
        if destination is not None:
            yield from destination.check(at, environ)
        elif (part := _valid_part(entries[name], expected)) is not None:
            yield from (mistake for mistake in part.check(at, environ) if not is_consequence(mistake, wrong))


def _valid_part(entry: JsonValue, expected: ExpectedType) -> DestinationConfig | None:
    if not isinstance(entry, dict):
        return None
    written = cast("dict[str, Any]", add_default_kind(entry, ""))
    parts = (valid_parts({**written, **address}, expected) for address in _ADDRESSES)
    return next((decode_config(part, expected, "") for part in parts if part is not UNSET), None)
