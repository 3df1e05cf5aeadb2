"""Settings and configuration as a process loaded them. Secrets are shown as references, or as set and empty."""

from collections.abc import Mapping
from typing import Any, cast

import msgspec
from msgspec import Struct

from service.config import Config
from service.events import JsonValue
from service.management.installation import InstallationOperations
from service.redaction import scrub
from service.settings import PREFIX, Settings, describe_setting

SECRET_SETTINGS = frozenset({"redis_password", "redis_sentinel_password"})
EMPTY: tuple[object, ...] = (None, [], {}, "")
SECTIONS = ("platforms", "records", "sources", "destinations", "rules", "outbound", "admin")


class SettingView(Struct, frozen=True):
    """Setting with its value; `changed` if it is not the default."""

    name: str
    value: str
    changed: bool
    description: str


class ConfigView(Struct, frozen=True):
    """Settings of the process, and the sections of waybill.yaml without fields that are not set."""

    settings: list[SettingView]
    config: Mapping[str, JsonValue]


class SettingsOperations(InstallationOperations):
    """Settings and configuration. Read-only."""

    async def get_configuration(self) -> ConfigView:
        """Return settings and configuration."""
        return ConfigView(list_settings(self.stores[0].store.settings), show_config(self.installation.config()))


def list_settings(settings: Settings) -> list[SettingView]:
    """Return all settings in their order."""
    defaults = Settings()
    return [
        SettingView(
            f"{PREFIX}{name.upper()}",
            _shown(name, getattr(settings, name)),
            getattr(settings, name) != getattr(defaults, name),
            describe_setting(name).rpartition(" (default ")[0],
        )
        for name in Settings.__struct_fields__
    ]


def show_config(config: Config) -> dict[str, JsonValue]:
    """Return the sections of waybill.yaml as plain data. References to secrets stay references."""
    sections = {name: msgspec.to_builtins(getattr(config, name)) for name in SECTIONS}
    return {name: scrub(value) for name, value in cast("dict[str, Any]", _without_empty(sections)).items()}


def _shown(name: str, value: object) -> str:
    if name in SECRET_SETTINGS:
        return "set" if value else ""
    return str(scrub(value if isinstance(value, str) else str(value)))


def _without_empty(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        items = {name: _without_empty(item) for name, item in cast("dict[str, Any]", value).items()}
        return {name: item for name, item in items.items() if item not in EMPTY}
    if isinstance(value, list | tuple):
        return [_without_empty(item) for item in cast("list[Any]", value)]
    return value
