"""`waybill rules test`: rules held against the examples beside them, in our own shape or as a platform answered.

It stands here since rules know no platform.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from service.actions import load_actions
from service.config import PlatformConfig, load_config
from service.errors import ConfigError
from service.platforms import PLATFORMS
from service.platforms.captured import Captured, read_captured
from service.records import Record
from service.rules import Rulebook, write_document
from service.rules.commands import read_files
from service.rules.examples import Example, Result, find_example_files, read_examples, run_examples
from service.settings import load_settings

EXIT_FAILED = 1


@click.command(name="test")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--rules", "rule_files", multiple=True, type=click.Path(path_type=Path, dir_okay=False), help="Rule files."
)
def rules_test(files: tuple[Path, ...], rule_files: tuple[Path, ...]) -> None:
    """Hold the rules against the examples in FILES; by default those beside the rule files, *.examples.yaml.

    Exits with 1 if an example turns out otherwise, 2 if rules or examples have a mistake.
    """
    read = read_files(rule_files)
    found = files or find_example_files([file.path for file in read])
    if not found:
        raise ConfigError("examples", "there are none beside the rule files", "write one: NAME.examples.yaml")
    rulebook = Rulebook.load(write_document([rule for file in read for rule in file.rules]), load_actions())
    reader = Answers()
    results = [result for path in found for result in run_examples(rulebook, read_examples(path, reader))]
    _tell(results)
    if any(result.differences for result in results):
        sys.exit(EXIT_FAILED)


class Answers:
    """Reads the platforms' answers of examples; waybill.yaml is read once, when an example names an account of it."""

    def __init__(self) -> None:
        self._accounts: Mapping[str, PlatformConfig] | None = None

    def __call__(self, example: Example, at: str) -> tuple[Record, Any]:
        """Read one.

        Raises:
            ConfigError: no such platform, no such answer of it, or a waybill.yaml that cannot be read.
        """
        captured = Captured(str(example.platform), example.type, example.raw, example.currency)
        return read_captured(captured, {} if captured.platform in PLATFORMS else self._read_accounts(), at)

    def _read_accounts(self) -> Mapping[str, PlatformConfig]:
        if self._accounts is None:
            path = Path(load_settings(os.environ).config)
            self._accounts = load_config(path, os.environ).platforms if path.exists() else {}
        return self._accounts


def _tell(results: Sequence[Result]) -> None:
    for result in results:
        click.echo(f"{'ok    ' if not result.differences else 'FAILED'} {result.name}")
        for line in result.differences:
            click.echo(f"       {line}")
    failed = sum(bool(result.differences) for result in results)
    click.echo(f"{len(results)} examples, {failed} failed")
