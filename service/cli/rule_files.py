"""`waybill rules check` and `waybill rules schema`, which need no installation. `service.cli.rules` adds the others."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from service.actions import load_actions
from service.errors import ConfigError
from service.platforms.loading import load_config
from service.plurals import count_noun
from service.rules.json_schema import write_schema
from service.rules.rule_files import RuleFile, check_sources, find_rule_files, is_rule_test_file, read_rule_files
from service.settings import load_settings

EXIT_INVALID = 2

FILE = click.Path(path_type=Path, dir_okay=False)
FILES = click.argument("files", nargs=-1, type=FILE)


@click.group(
    epilog='\b\nExamples:\n  waybill rules check rules/orders.yaml\n  waybill rules apply --note "raise the limit"'
)
def rules() -> None:
    """Check, test, publish and show rules."""


@rules.command(epilog="\b\nExamples:\n  waybill rules check\n  waybill rules check rules/orders.yaml")
@FILES
def check(files: tuple[Path, ...]) -> None:
    """Check rule files without a store.

    FILES are rule files. Default: the files that waybill.yaml names. Exit code 2 if a file is not valid.
    """
    mistakes = 0
    for path in files:
        mistakes += 0 if is_rule_test_file(path) else _check_alone(path)
    if mistakes:
        sys.exit(EXIT_INVALID)
    for file in read_files(files):
        click.echo(f"{file.path}: {count_noun(len(file.rules), 'rule')}, no errors")


@rules.command(epilog="\b\nExample:\n  waybill rules schema > rules.schema.json")
def schema() -> None:
    """Print the JSON Schema of rule files, for editors."""
    click.echo(write_schema(load_actions()), nl=False)


def _check_alone(path: Path) -> int:
    """Check one file, print its error, and return the number of errors."""
    try:
        read_rule_files([path], load_actions())
    except ConfigError as error:
        click.echo(f"waybill: {error}", err=True)
        return 1
    return 0


def read_files(files: Sequence[Path]) -> tuple[RuleFile, ...]:
    """Read the given rule files, or the rule files of waybill.yaml. Only the latter are checked for unknown sources.

    Raises:
        ConfigError: a file is not valid.
    """
    if files:
        return read_rule_files([path for path in files if not is_rule_test_file(path)], load_actions())
    config = load_config(Path(load_settings(os.environ).config), os.environ)
    rule_files = read_rule_files(find_rule_files(config.rules, config.path.parent), load_actions())
    check_sources(rule_files, config.sources)
    return rule_files
