"""`waybill check`: validation of settings, waybill.yaml, secrets, rule files and extensions, without connections."""

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import click

from service.cli.mistakes_output import EXIT_INVALID, FORMAT, Format, print_mistakes
from service.cli.output import print_text
from service.cli.rule_files import find_rule_warnings, read_rules_of_report
from service.config.config_files import config_folder
from service.config.loading import Config
from service.configuration import read_config
from service.destinations.http.config import TargetConfig
from service.destinations.registry import Destinations, DestinationSetup
from service.errors import ConfigError, PermanentError
from service.extensions import describe_extensions, find_extension_mistakes
from service.http_client import HttpClient
from service.platforms.registry import build_platforms
from service.plurals import count_noun
from service.rules import RuleFile
from service.settings import Settings, load_settings
from service.ssrf_guard import SsrfGuard
from service.store import build_shards
from service.trusted_proxies import proxy_warnings


@click.command(
    epilog="\b\nExamples:\n  waybill check\n  waybill check --config staging/waybill.yaml\n"
    "  waybill check -o sarif > waybill.sarif"
)
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    help="Configuration file or folder. Default: the one that WAYBILL_CONFIG names.",
)
@FORMAT
def check(path: Path | None, output_format: Format) -> None:
    """Check settings, waybill.yaml, secrets, rule files and extensions.

    Nothing is started or connected. Extension packages are imported. Prints the configured platforms, record kinds,
    sources, rules and extensions. Exit code 2 if there are errors.
    """
    mistakes: list[ConfigError] = []
    try:
        settings = load_settings(os.environ)
    except ConfigError as error:
        mistakes.append(error)
        settings = Settings(config=os.environ.get("WAYBILL_CONFIG", Settings().config))
    path = path or Path(settings.config)
    reading = read_config(path, os.environ)
    mistakes.extend(reading.mistakes)
    mistakes.extend(_check_settings(settings))
    mistakes.extend(find_extension_mistakes())
    files: tuple[RuleFile, ...] = ()
    if reading.config is not None:
        mistakes.extend(_check_connections(reading.config, settings, os.environ))
    config = reading.config
    try:
        files = read_rules_of_report(reading, config_folder(path))
    except ConfigError as error:
        mistakes.extend(error.mistakes)
    warnings = find_warnings(config, files) if config else ()
    if config and output_format == "text":
        for line in (*describe_config(config, files), *(f"warning   {warning}" for warning in warnings)):
            print_text(line)
    print_mistakes(mistakes, warnings, output_format)
    if mistakes:
        count = len(set(map(str, mistakes)))
        print_text(f"waybill: {count_noun(count, 'error')} found; configuration file: {path}", err=True)
        sys.exit(EXIT_INVALID)


def _check_settings(settings: Settings) -> Iterator[ConfigError]:
    """Check network ranges and store addresses. Opens no connection."""
    try:
        for warning in proxy_warnings(settings.trusted_proxies):
            print_text(f"warning   {warning}")
    except ConfigError as error:
        yield error
    try:
        asyncio.run(build_shards(settings).close())
    except ConfigError as error:
        yield error


def _check_connections(config: Config, settings: Settings, environ: Mapping[str, str]) -> Sequence[ConfigError]:
    """Build the connectors and the destinations, without a connection."""
    try:
        asyncio.run(_build_connections(config, settings, environ))
    except ConfigError as error:
        return error.mistakes
    return ()


async def _build_connections(config: Config, settings: Settings, environ: Mapping[str, str]) -> None:
    async with HttpClient(settings, config.outbound.allow_private_hosts) as outbound:
        build_platforms(config.platforms, environ, outbound, records=config.record_types)
        Destinations(config.destinations, DestinationSetup(http_client=outbound, environ=environ))


def describe_config(config: Config, files: tuple[RuleFile, ...]) -> Iterator[str]:
    """Yield one line for each platform, record kind, source, destination, rule and extension."""
    for name, platform in config.platforms.items():
        yield f"platform  {name}  {platform.__struct_config__.tag}"
    for kind, declared in config.records.items():
        accounts = [name for name, platform in config.platforms.items() if kind in platform.known_kinds()]
        fetched = f"from {', '.join(accounts)}" if accounts else "no platform has it"
        yield f"record    {kind}  {count_noun(len(declared.fields), 'field')}, {fetched}"
    for name, source in config.sources.items():
        parts: list[str] = []
        if source.verify is not None:
            scheme, envelope = (part.__struct_config__.tag for part in (source.verify, source.envelope))
            parts.append(f"verify {scheme}, envelope {envelope}")
        if source.poll is not None:
            parts.append(f"poll {source.poll.record} every {source.poll.every}")
        account = f"platform {source.platform}" if source.platform in config.platforms else "no platform"
        yield f"source    {name}  {account}, {'; '.join(parts)}"
    for name, destination in config.destinations.items():
        yield f"destination  {name}  {destination.__struct_config__.tag}"
    for file in files:
        for rule in file.rules:
            yield f"rule      {rule.id}  {rule.type}, {file.path}"
    yield from describe_extensions()


def find_warnings(config: Config, files: Sequence[RuleFile]) -> Sequence[ConfigError | str]:
    """Return the warnings about waybill.yaml and the rules."""
    return (*config.warnings, *_unreachable_actions(config, files), *find_rule_warnings(files, config.record_types))


def _unreachable_actions(config: Config, files: Sequence[RuleFile]) -> Iterator[str]:
    """Find destinations and actions with a private address that waybill.yaml does not allow."""
    guard = SsrfGuard(config.outbound.allow_private_hosts)
    for name, destination in config.destinations.items():
        if isinstance(destination, TargetConfig) and not destination.allow_private_host:
            try:
                guard.check_literal(_host(destination.url))
            except PermanentError as error:
                yield f"destinations.{name}.url: {error}, or write allow_private_host: true"
    for file in files:
        for rule in file.rules:
            for action in rule.actions:
                try:
                    guard.check_literal(_host(action.get("url", "")))
                except PermanentError as error:
                    yield f"{file.path}: {rule.id}.{action['id']}: {error}"


def _host(url: object) -> str:
    try:
        return urlsplit(str(url)).hostname or ""
    except ValueError:
        return ""  # the action fails at run time with error invalid_url
