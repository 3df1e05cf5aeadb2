"""`waybill rules test`: rules held against the examples beside them, in our own shape or as a platform answered.

It stands here since rules know no platform and no source.
"""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from service.actions import load_actions
from service.cli.context import open_context
from service.cli.rule_files import read_files
from service.config import PlatformConfig
from service.config.decoding import did_you_mean
from service.errors import ConfigError, Rejection
from service.events import Delivery, Fact
from service.ingestion.sources import Source
from service.platforms.kind import RecordedAnswer
from service.platforms.loading import load_config
from service.platforms.recorded_answers import read_recorded_answer
from service.platforms.registry import PLATFORMS
from service.records import Record
from service.rules import Rulebook, write_document
from service.rules.rule_tests import RuleTest, RuleTestResult, find_test_files, read_tests, run_tests
from service.settings import load_settings
from service.signatures import Verified

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
    found = files or find_test_files([file.path for file in read])
    if not found:
        raise ConfigError("examples", "there are none beside the rule files", "write one: NAME.examples.yaml")
    rulebook = Rulebook.load(write_document([rule for file in read for rule in file.rules]), load_actions())
    answers, deliveries = Answers(), Deliveries()
    examples = [example for path in found for example in read_tests(path, answers, deliveries)]
    results = list(run_tests(rulebook, examples))
    _print_results(results)
    if any(result.differences for result in results):
        sys.exit(EXIT_FAILED)


class Answers:
    """Reads the platforms' answers of examples; waybill.yaml is read once, when an example names an account of it."""

    def __init__(self) -> None:
        self._accounts: Mapping[str, PlatformConfig] | None = None

    def __call__(self, example: RuleTest, at: str) -> tuple[Record, Any]:
        """Read one.

        Raises:
            ConfigError: no such platform, no such answer of it, or a waybill.yaml that cannot be read.
        """
        captured = RecordedAnswer(str(example.platform), example.type, example.raw, example.currency)
        return read_recorded_answer(captured, {} if captured.platform in PLATFORMS else self._read_accounts(), at)

    def _read_accounts(self) -> Mapping[str, PlatformConfig]:
        if self._accounts is None:
            path = Path(load_settings(os.environ).config)
            self._accounts = load_config(path, os.environ).platforms if path.exists() else {}
        return self._accounts


class Deliveries:
    """Reads the deliveries of examples; the sources are built once, when an example holds one."""

    def __init__(self) -> None:
        self._sources: Mapping[str, Source] | None = None

    def __call__(self, delivery: Delivery, at: str) -> Fact:
        """Read one, without a look at its signature.

        Raises:
            ConfigError: no such source, no such delivery of it, or a waybill.yaml that cannot be read.
        """
        if self._sources is None:
            self._sources = asyncio.run(_build_sources())
        source = self._sources.get(delivery.source)
        if source is None:
            fix = did_you_mean(delivery.source, self._sources)
            raise ConfigError(f"{at}.source", f"there is no source {delivery.source!r} in waybill.yaml", fix)
        try:
            facts = source.parse(delivery, Verified(None, delivery.body)).facts
        except Rejection as refusal:
            fix = "keep the delivery as it was sent, and the headers that tell its type"
            raise ConfigError(f"{at}.delivery", refusal.detail.removesuffix("."), fix) from None
        with_record = [fact for fact in facts if fact.record is not None]
        if len(with_record) != 1:
            reason = f"the delivery tells of {len(with_record)} events about a record, not of one"
            raise ConfigError(f"{at}.delivery", reason, "keep one that the source takes in, without the others")
        return with_record[0]


async def _build_sources() -> Mapping[str, Source]:
    async with open_context() as parts:
        return parts.sources


def _print_results(results: Sequence[RuleTestResult]) -> None:
    for result in results:
        click.echo(f"{'ok    ' if not result.differences else 'FAILED'} {result.name}")
        for line in result.differences:
            click.echo(f"       {line}")
    failed = sum(bool(result.differences) for result in results)
    click.echo(f"{len(results)} examples, {failed} failed")
