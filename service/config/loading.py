"""Loading of waybill.yaml, or of its folder: read, decode and check everything before a process starts."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

from msgspec import Meta, Struct, structs

from service.config.admin import AdminConfig, check_admin
from service.config.checks import (
    check_platform,
    check_source,
    environ_warnings,
    platform_warnings,
    redelivery_hours,
    source_warnings,
)
from service.config.config_files import (
    NAMED_SECTIONS,
    PATTERNS,
    ConfigFile,
    config_folder,
    merge_files,
    read_config_files,
)
from service.config.decoding import ExpectedType, decode_config, unknown_key
from service.config.destination_checks import add_default_kind, check_destination_entries
from service.config.destinations import DestinationConfig
from service.config.locations import locate
from service.config.platforms import NO_PLATFORM, PlatformConfig
from service.config.presets import expand_preset
from service.config.record_kinds import RecordKindConfig, build_record_types
from service.config.sources import SOURCE_NAME, SourceConfig
from service.errors import ConfigError, ConfigErrors, MissingSecret
from service.events import EVENT_KIND, JsonValue
from service.mistakes import Mistakes, is_consequence
from service.records import RECORDS, RecordType, RecordTypes

Host = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9.:_-]{1,253}\Z", description="a host name or an address, without scheme or port")
]


class KindTypes(Struct, frozen=True):
    """Types of the sections with kinds: the unions of the structs of all platforms and of all destinations."""

    platform: ExpectedType
    destination: ExpectedType


class OutboundConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Targets that actions may reach. Private and loopback addresses are rejected, except these hosts."""

    allow_private_hosts: tuple[Host, ...] = ()


class _General(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sections without named entries."""

    rules: tuple[Annotated[str, Meta(min_length=1, description="a path or glob such as rules/*.yaml")], ...] = ()
    outbound: OutboundConfig = OutboundConfig()
    admin: AdminConfig = AdminConfig()


class Config(Struct, frozen=True, kw_only=True):
    """The checked configuration. `path` is the YAML file or the folder; `rules` are globs relative to the folder.

    `record_types` are the types of the built-in and the declared record kinds.
    """

    path: Path
    record_types: RecordTypes
    platforms: dict[str, PlatformConfig]
    records: dict[str, RecordKindConfig]
    sources: dict[str, SourceConfig]
    rules: tuple[str, ...]
    outbound: OutboundConfig
    admin: AdminConfig
    warnings: tuple[str, ...]
    destinations: dict[str, DestinationConfig] = {}

    @property
    def folder(self) -> Path:
        """Return the folder of the rule files."""
        return config_folder(self.path)

    @property
    def dedupe_days(self) -> float:
        """Longest dedupe window of all sources, 0 if each has the default."""
        windows = (
            source.dedupe_hours or redelivery_hours(source, self.account_of(source)) for source in self.sources.values()
        )
        return max(windows, default=0.0) / 24

    def account_of(self, source: SourceConfig) -> PlatformConfig:
        """Return the account of a source, or the substitute of a source without a platform."""
        return self.platforms.get(source.platform, NO_PLATFORM)


class ConfigReport(Struct, frozen=True):
    """Result of reading a file: a Config, or all mistakes.

    With mistakes, `rules`, `sources`, `record_types` and `destinations` are the rule files, the names of the sources,
    the types of the valid record kinds and the destinations (None: with mistakes), to check the rules as well.
    `checkable` is the Config for this check: also with missing secrets, and None with any other mistake.
    """

    config: Config | None
    mistakes: tuple[ConfigError, ...]
    rules: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    record_types: RecordTypes = RECORDS
    checkable: Config | None = None
    destinations: Mapping[str, DestinationConfig | None] = {}


def check_config(path: Path, environ: Mapping[str, str], types: KindTypes) -> ConfigReport:
    """Read and check waybill.yaml. Return all mistakes."""
    constructs = Mistakes()
    try:
        files = read_config_files(path, constructs)
    except ConfigError as error:
        return ConfigReport(None, (*error.mistakes, *constructs.found))
    mistakes: list[ConfigError] = []
    data = merge_files(files, mistakes)
    platforms = dict(_table(data, "platforms", types.platform, mistakes))
    sources = dict(_table(data, "sources", SourceConfig, mistakes))
    destinations = dict(_table(data, "destinations", types.destination, mistakes))
    general = _general(data, files, mistakes)
    kinds = _record_kinds(data, mistakes)
    records, of_kinds = build_record_types(kinds)
    mistakes.extend(of_kinds)
    # Kinds with mistakes are known, so that their platforms do not report unknown kinds as well.
    known: dict[str, RecordType | None] = {**dict.fromkeys(_names(data, "records")), **records}
    known.pop(EVENT_KIND)  # no platform has it
    for name, platform in platforms.items():
        mistakes.extend(check_platform(f"platforms.{name}", platform, environ, known))
    # Include platforms with mistakes, so that their sources do not report an unknown platform as well.
    named = {name: platforms.get(name) for name in _names(data, "platforms")}
    mistakes.extend(_check_sources(sources, named, environ))
    known_destinations = {name: destinations.get(name) for name in _names(data, "destinations")}
    entries = data.get("destinations", {})
    mistakes.extend(check_destination_entries(entries, known_destinations, types.destination, environ, mistakes))
    mistakes.extend(check_admin(general.admin, environ))
    wrong = {mistake.path for mistake in constructs.found}
    mistakes = [*constructs.found, *(mistake for mistake in mistakes if not is_consequence(mistake, wrong))]
    report = ConfigReport(
        None,
        _locate_in(files, mistakes),
        general.rules,
        tuple(_names(data, "sources")),
        records,
        destinations=known_destinations,
    )
    if not all(isinstance(mistake, MissingSecret) for mistake in mistakes):
        return report
    config = Config(
        path=path,
        record_types=records,
        records=kinds,
        platforms=platforms,
        sources=sources,
        destinations=destinations,
        rules=general.rules,
        outbound=general.outbound,
        admin=general.admin,
        warnings=(),
    )
    if mistakes:
        return structs.replace(report, checkable=config)
    config = structs.replace(config, warnings=tuple(_warnings(config, environ)))
    return ConfigReport(config, (), checkable=config)


def _check_sources(
    sources: dict[str, SourceConfig], accounts: Mapping[str, PlatformConfig | None], environ: Mapping[str, str]
) -> Iterator[ConfigError]:
    """Yield the mistakes in the sources. A source without a platform gets its own name as the platform."""
    for name, source in sources.items():
        if not source.platform and name in accounts:
            reason = "has no platform, but the name of an account"
            yield ConfigError(f"sources.{name}", reason, f"add platform: {name}, or rename the source")
        sources[name] = structs.replace(source, platform=source.platform or name)
        known = accounts if source.platform else {name: NO_PLATFORM}
        yield from check_source(f"sources.{name}", sources[name], known, environ)


def _warnings(config: Config, environ: Mapping[str, str]) -> Iterator[str]:
    yield from environ_warnings(environ)
    for name, platform in config.platforms.items():
        yield from platform_warnings(f"platforms.{name}", platform)
    for name, source in config.sources.items():
        platform = config.platforms.get(source.platform, NO_PLATFORM)
        yield from source_warnings(f"sources.{name}", source, platform, environ)
    for name, destination in config.destinations.items():
        yield from destination.warnings(f"destinations.{name}")


def load_record_types(path: Path) -> RecordTypes:
    """Read the types of records of a waybill.yaml, which needs no secrets. Without a file, they are the built-in ones.

    Raises:
        ConfigError: The file or its section `records` has a mistake.
    """
    if not path.exists():
        return RECORDS
    mistakes: list[ConfigError] = []
    files = read_config_files(path)
    data = merge_files(files, mistakes)
    mistakes = [mistake for mistake in mistakes if mistake.path.split(".")[0] == "records"]
    types, wrong = build_record_types(_record_kinds(data, mistakes))
    if found := [*mistakes, *wrong]:
        raise ConfigErrors(_locate_in(files, found))
    return types


def _locate_in(files: Sequence[ConfigFile], mistakes: Sequence[ConfigError]) -> tuple[ConfigError, ...]:
    return tuple(locate(mistakes, [file.path for file in files]))


def _record_kinds(data: Mapping[str, Any], mistakes: list[ConfigError]) -> dict[str, RecordKindConfig]:
    """Decode each declared record kind separately. The section is optional."""
    kinds: dict[str, RecordKindConfig] = {}
    for name in _names(data, "records", mistakes):
        try:
            kinds[name] = decode_config(data["records"][name], RecordKindConfig, f"records.{name}")
        except ConfigError as error:
            mistakes.extend(error.mistakes)
    return kinds


def _table(
    data: Mapping[str, Any],
    section: str,
    expected: ExpectedType,
    mistakes: list[ConfigError],
) -> Iterator[tuple[str, Any]]:
    """Decode each entry of a section separately, so that one mistake does not hide the others."""
    for name in _names(data, section, mistakes):
        at = f"{section}.{name}"
        if not re.match(SOURCE_NAME, name):
            fix = "use at most 64 lower-case letters, digits and hyphens, not beginning with a hyphen"
            mistakes.append(ConfigError(at, "is not a valid name", fix))
            continue
        try:
            entry = data[section][name]
            prepare = _PREPARE.get(section)
            yield name, decode_config(prepare(entry, at) if prepare else entry, expected, at)
        except ConfigError as error:
            mistakes.extend(error.mistakes)


def _names(data: Mapping[str, Any], section: str, mistakes: list[ConfigError] | None = None) -> list[str]:
    names = list(cast("dict[str, Any]", data.get(section, {})))
    if section != "sources" or names or mistakes is None:
        return names
    if all(mistake.path != section for mistake in mistakes):  # a section of the wrong type is reported already
        mistakes.append(ConfigError(section, "is missing or empty", f"add at least one entry under {section}:"))
    return names


def _general(data: Mapping[str, Any], files: Sequence[ConfigFile], mistakes: list[ConfigError]) -> _General:
    known = {*NAMED_SECTIONS, *_General.__struct_fields__}
    mistakes.extend(unknown_key("", key, known) for key in data if key not in known)
    general = _General()
    for file in files:
        found: list[ConfigError] = []
        for section in file.sections.keys() & set(_General.__struct_fields__):
            try:
                part = getattr(decode_config({section: file.sections[section]}, _General, ""), section)
            except ConfigError as error:
                found += [ConfigError(each.path.lstrip("."), each.reason, each.fix) for each in error.mistakes]
            else:
                value = (*general.rules, *part) if section == PATTERNS else part
                general = structs.replace(general, **{section: value})
        # In its own file: the position in a list is that of the file.
        mistakes += locate(found, [file.path])
    return general


def _prepare_source(source: JsonValue, at: str) -> JsonValue:
    """Expand the preset of a source, and `envelope: platform` to `envelope: {kind: platform}`.

    Raises:
        ConfigError: the preset cannot be expanded.
    """
    if not isinstance(source, dict):
        return source
    written = cast("dict[str, Any]", source)
    kind = written.get("envelope")
    return expand_preset({**written, "envelope": {"kind": kind}} if isinstance(kind, str) else written, at)


_PREPARE = {"sources": _prepare_source, "destinations": add_default_kind}
