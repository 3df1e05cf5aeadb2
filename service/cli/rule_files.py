"""`waybill rules check` and `waybill rules schema`, which need no installation. `service.cli.rules` adds the others."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import click

from service.actions import load_actions
from service.cli.mistakes_output import FORMAT, Format, print_mistakes, report_mistakes
from service.cli.output import JSON, print_json, print_text
from service.config.config_files import config_folder
from service.config.loading import Config, ConfigReport, load_record_types
from service.config.locations import locate
from service.config.platforms import BuiltInPlatformConfig
from service.configuration import read_config
from service.errors import ConfigError, ConfigErrors, MissingSecret
from service.platforms.registry import PLATFORMS
from service.plurals import count_noun
from service.records import RecordTypes
from service.rules.enums import PlatformValues, account_values, check_enums, declared_values
from service.rules.header_checks import check_headers
from service.rules.json_schema import make_schema, write_schema
from service.rules.lookup_checks import check_lookups
from service.rules.rule_files import (
    RuleCheck,
    RuleFile,
    check_destinations,
    check_operations,
    check_sources,
    find_rule_files,
    is_rule_test_file,
    read_rule_files,
)
from service.rules.rule_warnings import rule_warnings
from service.rules.syntax import Rule
from service.settings import load_settings

ValuesOf = Callable[[Rule], PlatformValues]

STANDARD_INPUT = Path("/dev/stdin")

FILE = click.Path(path_type=Path, dir_okay=False)
FILES = click.argument("files", nargs=-1, type=FILE)


@click.group(
    epilog='\b\nExamples:\n  waybill rules check rules/orders.yaml\n  waybill rules apply --note "raise the limit"'
)
def rules() -> None:
    """Check, test, publish and show rules."""


@rules.command(
    epilog="\b\nExamples:\n  waybill rules check\n  waybill rules check rules/orders.yaml\n"
    "  waybill rules check -o github"
)
@FILES
@FORMAT
def check(files: tuple[Path, ...], output_format: Format) -> None:
    """Check rule files without a store.

    FILES are rule files. Default: the files that waybill.yaml names. Exit code 2 if a file is not valid.
    """
    with report_mistakes(output_format):
        read = read_files(files)
    warnings = find_rule_warnings(read, configured_records())
    print_mistakes((), warnings, output_format)
    if output_format == "text":
        for file in read:
            print_text(f"{file.path}: {count_noun(len(file.rules), 'rule')}, no errors")
        for warning in warnings:
            print_text(f"warning   {warning}")


def find_rule_warnings(files: Sequence[RuleFile], records: RecordTypes) -> list[ConfigError]:
    """Return the warnings about the rules of all files, with file and line."""
    found: list[ConfigError] = []
    for file in files:
        of_file: list[ConfigError] = []
        for index, rule in enumerate(file.rules):
            for warning in rule_warnings(rule, f"rules[{index}]", records):
                warning.rule_id = rule.id
                of_file.append(warning)
        found += locate(of_file, [file.path], "rules")
    return found


@rules.command(epilog="\b\nExample:\n  waybill rules schema > rules.schema.json")
@JSON
def schema(*, as_json: bool) -> None:
    """Print the JSON Schema of rule files, for editors. With -o json, on one line."""
    if as_json:
        print_json(make_schema(load_actions()))
    else:
        print_text(write_schema(load_actions()), nl=False)


def read_files(files: Sequence[Path]) -> tuple[RuleFile, ...]:
    """Read the given rule files, or the rule files of waybill.yaml. Only the latter are checked for unknown sources.

    Raises:
        ConfigErrors: all mistakes of all files.
    """
    if not files:
        return _read_all_configured()
    values_of = _find_values()
    checks = [] if values_of is None else [_enum_check(values_of)]
    paths = [STANDARD_INPUT if str(path) == "-" else path for path in files if not is_rule_test_file(path)]
    return read_rule_files(paths, load_actions(), checks, configured_records())


def _read_all_configured() -> tuple[RuleFile, ...]:
    """Read the rule files of waybill.yaml. Report its mistakes too, except missing secrets."""
    path = Path(load_settings(os.environ).config)
    report = read_config(path, os.environ)
    if report.checkable is not None:
        return read_configured_rules(report.checkable)
    mistakes = [mistake for mistake in report.mistakes if not isinstance(mistake, MissingSecret)]
    try:
        read_rules_of_report(report, config_folder(path))
    except ConfigError as error:
        mistakes.extend(error.mistakes)
    raise ConfigErrors(mistakes)


def read_configured_rules(config: Config) -> tuple[RuleFile, ...]:
    """Read the rule files that waybill.yaml names.

    Raises:
        ConfigErrors: all mistakes of all files.
    """
    checks = [
        partial(check_sources, config.sources),
        partial(check_headers, config.sources),
        partial(check_destinations, config.destinations),
        partial(check_operations, config),
        _enum_check(partial(account_values, config)),
        partial(check_lookups, config),
    ]
    return read_rule_files(find_rule_files(config.rules, config.folder), load_actions(), checks, config.record_types)


def configured_records() -> RecordTypes:
    """Return the types of records of waybill.yaml; without one, the built-in ones.

    Raises:
        ConfigError: the section `records` has a mistake.
    """
    return load_record_types(Path(load_settings(os.environ).config))


def read_rules_of_report(report: ConfigReport, folder: Path) -> tuple[RuleFile, ...]:
    """Read the rule files of a waybill.yaml in `folder`. With other mistakes than missing secrets, fewer checks apply.

    Raises:
        ConfigErrors: all mistakes of all files.
    """
    if report.checkable is not None:
        return read_configured_rules(report.checkable)
    checks = [
        partial(check_sources, report.sources),
        partial(check_destinations, report.destinations),
        _enum_check(partial(declared_values, report.record_types)),
    ]
    return read_rule_files(find_rule_files(report.rules, folder), load_actions(), checks, report.record_types)


def _enum_check(values_of: ValuesOf) -> RuleCheck:
    return lambda rule, at: check_enums(rule, at, values_of(rule))


def _find_values() -> ValuesOf | None:
    """Return the documented values of the accounts in waybill.yaml, without one those of the built-in platforms."""
    path = Path(load_settings(os.environ).config)
    if not path.exists():
        return _built_in_values
    reading = read_config(path, os.environ)
    if reading.checkable is None:
        mistake = next(each for each in reading.mistakes if not isinstance(each, MissingSecret))
        text = f"values such as statuses are not checked, because {path} has a mistake: {mistake}"
        print_text(f"waybill: {text}", err=True)
        return None
    return partial(account_values, reading.checkable)


def _built_in_values(rule: Rule) -> PlatformValues:
    configs = {name: kind.config for name, kind in PLATFORMS.items() if issubclass(kind.config, BuiltInPlatformConfig)}
    return {name: config.enums[rule.type] for name, config in configs.items() if rule.type in config.enums}
