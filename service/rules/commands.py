"""`waybill rules`: check rule files, try them on examples, put them into force. For the rest see shelf_commands."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from service.actions import load_actions
from service.config.loading import load_config
from service.errors import ConfigError
from service.rules.document import write_document
from service.rules.examples import find_example_files, read_examples, run_examples
from service.rules.files import RuleFile, check_sources, find_rule_files, is_example, read_rule_files
from service.rules.publishing import publish_file_rules
from service.rules.rulebook import Rulebook
from service.rules.schema import write_schema
from service.rules.shelf_commands import diff, export, history, list_rules, rollback, show, with_shelves
from service.settings import load_settings

EXIT_FAILED = 1
EXIT_MISTAKES = 2

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
        sys.exit(EXIT_MISTAKES)
    for file in _read(files):
        click.echo(f"{file.path}: {len(file.rules)} rules, no mistake found")


@rules.command()
@FILES
@click.option("--author", default=lambda: os.environ.get("USER", "unknown"), help="Who publishes; by default $USER.")
@click.option("--note", default="", help="Why, in a few words.")
def apply(files: tuple[Path, ...], author: str, note: str) -> None:
    """Put FILES, or those that waybill.yaml names, into force. Rules made in the admin API stay."""
    found = [rule for file in _read(files) for rule in file.rules]
    published = with_shelves(lambda shelves: publish_file_rules(shelves, found, load_actions(), author, note))
    state = "in force" if published.changed else "in force already"
    click.echo(f"{published.version} {state}, {published.rules} rules")


@rules.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--rules", "rule_files", multiple=True, type=click.Path(path_type=Path, dir_okay=False), help="Rule files."
)
def test(files: tuple[Path, ...], rule_files: tuple[Path, ...]) -> None:
    """Hold the rules against the examples in FILES; by default those beside the rule files, *.examples.yaml.

    Exits with 1 if an example turns out otherwise, 2 if rules or examples have a mistake.
    """
    read = _read(rule_files)
    found = files or find_example_files([file.path for file in read])
    if not found:
        raise ConfigError("examples", "there are none beside the rule files", "write one: NAME.examples.yaml")
    rulebook = Rulebook.load(write_document([rule for file in read for rule in file.rules]), load_actions())
    results = [result for path in found for result in run_examples(rulebook, read_examples(path))]
    for result in results:
        click.echo(f"{'ok    ' if not result.differences else 'FAILED'} {result.name}")
        for line in result.differences:
            click.echo(f"       {line}")
    failed = sum(bool(result.differences) for result in results)
    click.echo(f"{len(results)} examples, {failed} failed")
    if failed:
        sys.exit(EXIT_FAILED)


@rules.command()
def schema() -> None:
    """Print the JSON Schema of a rule file, for editors."""
    click.echo(write_schema(load_actions()), nl=False)


for command in (show, list_rules, history, diff, rollback, export):
    rules.add_command(command)


def _check_alone(path: Path) -> int:
    """Check one file by itself, so that the mistakes of several are told at once."""
    try:
        read_rule_files([path], load_actions())
    except ConfigError as error:
        click.echo(f"waybill: {error}", err=True)
        return 1
    return 0


def _read(files: Sequence[Path]) -> tuple[RuleFile, ...]:
    """Read the given files; without any, those of waybill.yaml, whose sources are known then."""
    if files:
        return read_rule_files([path for path in files if not is_example(path)], load_actions())
    config = load_config(Path(load_settings(os.environ).config), os.environ)
    read = read_rule_files(find_rule_files(config.rules, config.path.parent), load_actions())
    check_sources(read, config.sources)
    return read
