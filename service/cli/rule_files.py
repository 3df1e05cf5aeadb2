"""`waybill rules`: what needs no installation: check rule files, print their schema. The console adds the rest."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from service.actions import load_actions
from service.errors import ConfigError
from service.platforms.loading import load_config
from service.rules.json_schema import write_schema
from service.rules.rule_files import RuleFile, check_sources, find_rule_files, is_example, read_rule_files
from service.settings import load_settings

EXIT_INVALID = 2

FILE = click.Path(path_type=Path, dir_okay=False)
FILES = click.argument("files", nargs=-1, type=FILE)


@click.group()
def rules() -> None:
    """Check, try, publish and show the rules."""


@rules.command()
@FILES
def check(files: tuple[Path, ...]) -> None:
    """Check FILES, or those that waybill.yaml names, without touching the store."""
    mistakes = 0
    for path in files:
        mistakes += 0 if is_example(path) else _check_alone(path)
    if mistakes:
        sys.exit(EXIT_INVALID)
    for file in read_files(files):
        click.echo(f"{file.path}: {len(file.rules)} rules, no mistake found")


@rules.command()
def schema() -> None:
    """Print the JSON Schema of a rule file, for editors."""
    click.echo(write_schema(load_actions()), nl=False)


def _check_alone(path: Path) -> int:
    """Check one file by itself, so that the mistakes of several are told at once."""
    try:
        read_rule_files([path], load_actions())
    except ConfigError as error:
        click.echo(f"waybill: {error}", err=True)
        return 1
    return 0


def read_files(files: Sequence[Path]) -> tuple[RuleFile, ...]:
    """Read the given files; without any, those of waybill.yaml, whose sources are known then.

    Raises:
        ConfigError: any mistake in them.
    """
    if files:
        return read_rule_files([path for path in files if not is_example(path)], load_actions())
    config = load_config(Path(load_settings(os.environ).config), os.environ)
    read = read_rule_files(find_rule_files(config.rules, config.path.parent), load_actions())
    check_sources(read, config.sources)
    return read
