"""Presets: the configuration of well-known senders, one data file each, expanded before a source is decoded.

A preset names its parameters, such as `secrets`. They are keys of the source beside `preset`. All other keys of the
source are merged over those of the preset, so a source can change any detail.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast, get_args

import msgspec
from msgspec import Struct

from service.config.decoding import did_you_mean
from service.config.strict_yaml import read_yaml
from service.errors import ConfigError
from service.events import JsonValue

FOLDER = Path(__file__).parent / "sender_presets"

Parameter = Literal["secrets", "public_keys", "url", "verify_token"]
RECORD = "record"
"""Parameter of presets whose events are all about one record kind. The preset has a default."""


class PresetFact(Struct, frozen=True, forbid_unknown_fields=True):
    """Statement about a sender: `certain` if it is from the sender's own text or code, else inferred."""

    text: str
    certain: bool


class PresetRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Handshake of a sender."""

    method: Literal["GET", "HEAD", "POST"]
    query: str
    headers: dict[str, str] = {}


class PresetAnswer(Struct, frozen=True, forbid_unknown_fields=True):
    """Response to a handshake or challenge: its whole body, or a text that it contains."""

    status: int
    body: str | None = None
    contains: str = ""


class PresetSample(Struct, frozen=True, forbid_unknown_fields=True):
    """Sample of a sender: a delivery with its expected events, or a handshake or challenge with its response.

    A row of `expect` is event type, change type, record kind, record id and event id.
    """

    body: Any = None
    text: str | None = None
    headers: dict[str, str] = {}
    signed: bool = True
    expect: list[list[str | None]] = []
    handshake: PresetRequest | None = None
    answer: PresetAnswer | None = None


class SenderPreset(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One sender. `requires` explains the parameters. `record` is the default record kind, null if events name it.

    `redelivery_hours` is the time of redeliveries, `answer_seconds` the time in which the sender requires an answer.
    """

    title: str
    group: str
    record: str | None
    requires: dict[Parameter, str]
    source: dict[str, Any]
    facts: tuple[PresetFact, ...]
    documentation: tuple[str, ...]
    samples: tuple[PresetSample, ...]
    redelivery_hours: float | None = None
    answer_seconds: float | None = None


@cache
def preset_names() -> tuple[str, ...]:
    """Return the names of all presets, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


@cache
def load_preset(name: str) -> SenderPreset:
    """Read one preset.

    Raises:
        ConfigError: there is no such preset.
    """
    if name not in preset_names():
        raise ConfigError("preset", f"there is no preset {name}", did_you_mean(name, preset_names()))
    return msgspec.convert(read_yaml(FOLDER / f"{name}.yaml"), SenderPreset)


def expand_preset(written: Mapping[str, Any], at: str) -> dict[str, Any]:
    """Return a source with the values of its preset; unchanged without a preset.

    Raises:
        ConfigError: the preset does not exist, a parameter is missing, or one is not used.
    """
    name = written.get("preset")
    if not isinstance(name, str):
        return dict(written)
    try:
        preset = load_preset(name)
    except ConfigError as error:
        raise ConfigError(f"{at}.preset", error.reason, error.fix) from None
    names = {*preset.requires, *([RECORD] if preset.record else [])}
    parameters = {key: value for key, value in written.items() if key in names}
    for key, meaning in preset.requires.items():
        if key not in parameters:
            raise ConfigError(f"{at}.{key}", f"is missing, but the preset {name} requires it", f"add {key}: {meaning}")
    for key in (RECORD, *get_args(Parameter)):
        if key in written and key not in names:
            raise ConfigError(f"{at}.{key}", f"is not used by the preset {name}", f"remove {key}")
    parameters.setdefault(RECORD, preset.record)
    filled = _fill(preset.source, parameters)
    return _merge(filled, {key: value for key, value in written.items() if key not in names})


def _fill(value: JsonValue, parameters: Mapping[str, Any]) -> Any:  # noqa: ANN401 - plain data
    """Replace `$name` by a parameter, `$secret` by the first secret, and `$url` also inside text."""
    if isinstance(value, dict):
        return {key: _fill(item, parameters) for key, item in cast("dict[str, Any]", value).items()}
    if not isinstance(value, str) or "$" not in value:
        return value
    if value == "$secret":
        secrets = parameters["secrets"]
        return cast("list[Any]", secrets)[0] if isinstance(secrets, list) and secrets else None
    if value.startswith("$"):
        return parameters[value[1:]]
    return value.replace("$url", str(parameters["url"]))


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `changes`, member by member. An object of another `kind` or `scheme` replaces the whole."""
    merged = dict(base)
    for key, value in changes.items():
        before = merged.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            mine, theirs = cast("dict[str, Any]", value), cast("dict[str, Any]", before)
            same = all(mine.get(tag, theirs.get(tag)) == theirs.get(tag) for tag in ("kind", "scheme"))
            merged[key] = _merge(theirs, mine) if same or key == RECORD else mine
        else:
            merged[key] = value
    return merged
