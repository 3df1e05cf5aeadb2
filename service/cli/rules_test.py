"""`waybill rules test`: rule tests with records, platform responses or deliveries.

The module is in `cli` because `service.rules` imports neither platforms nor sources.
"""

import asyncio
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET  # only writes

import click

from service.actions import load_actions
from service.cli.configured_parts import ConfiguredParts
from service.cli.output import JSON, print_json, print_text
from service.cli.rule_files import configured_records, read_files
from service.config import PlatformConfig
from service.config.decoding import did_you_mean
from service.configuration import load_checkable_config
from service.errors import ConfigError, Rejection
from service.events import Delivery
from service.http_client import HttpClient
from service.ingestion.headers import stored_headers
from service.platforms.api.pointer_map import missing_fields
from service.platforms.base import is_hint
from service.platforms.kind import RecordedAnswer
from service.platforms.recorded_answers import read_recorded_answer
from service.platforms.registry import PLATFORMS
from service.plurals import count_noun
from service.records import Record
from service.rules import Rulebook, write_document
from service.rules.rule_test_events import ParsedFact
from service.rules.rule_tests import RuleTest, RuleTestResult, find_test_files, read_tests, run_tests
from service.settings import load_settings
from service.signatures import Verified

EXIT_FAILED = 1
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot contain."""


@click.command(
    name="test",
    epilog="\b\nExamples:\n  waybill rules test\n"
    "  waybill rules test rules/orders.examples.yaml --rules rules/orders.yaml\n"
    "  waybill rules test --junit rule-tests.xml",
)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--rules",
    "rule_files",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Rule file to test. Repeatable. Default: the files that waybill.yaml names.",
)
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Also write JUnit XML to this file.")
@JSON
def rules_test(files: tuple[Path, ...], rule_files: tuple[Path, ...], junit: Path | None, *, as_json: bool) -> None:
    """Run rule tests.

    FILES are test files. Default: the files *.examples.yaml beside the rule files. Exit code 1 if a test fails, 2 if a
    file is not valid.
    """
    read = read_files(rule_files)
    found = files or find_test_files([file.path for file in read])
    if not found:
        raise ConfigError(
            "rule tests", "no test file found beside the rule files", "write a file NAME.examples.yaml there"
        )
    rulebook = Rulebook.load(
        write_document([rule for file in read for rule in file.rules]), load_actions(), configured_records()
    )
    responses, deliveries = ResponseReader(), DeliveryReader()
    tests = [test for path in found for test in read_tests(path, responses, deliveries, rulebook.records)]
    results = list(run_tests(rulebook, tests))
    if as_json:
        for result in results:
            print_json(result)
    else:
        _print_results(results)
    if junit is not None:
        _write_junit(results, junit)
    for warning in responses.unmatched_pointers():
        print_text(f"warning   {warning}", err=as_json)
    if any(result.differences for result in results):
        sys.exit(EXIT_FAILED)


class ResponseReader:
    """Reader of recorded platform responses. Loads waybill.yaml once, when a test names an account."""

    def __init__(self) -> None:
        self._accounts: Mapping[str, PlatformConfig] | None = None
        self._missing: dict[tuple[str, str], set[str]] = {}
        self._samples: Counter[tuple[str, str]] = Counter()

    def __call__(self, test: RuleTest, at: str) -> tuple[Record, Any]:
        """Parse the response of a test into a record and its raw form.

        Raises:
            ConfigError: unknown platform, invalid response, or invalid waybill.yaml.
        """
        recorded = RecordedAnswer(str(test.platform), test.type, test.raw, test.currency)
        accounts: Mapping[str, PlatformConfig] = {} if recorded.platform in PLATFORMS else self._load_accounts()
        record, raw = read_recorded_answer(recorded, accounts, configured_records(), at)
        if (account := accounts.get(recorded.platform)) is not None:
            sample, missing = (
                (recorded.platform, test.type),
                set(missing_fields(account.expected_fields(test.type), record)),
            )
            self._missing[sample] = self._missing.get(sample, missing) & missing
            self._samples[sample] += 1
        return record, raw

    def unmatched_pointers(self) -> Iterator[str]:
        """Yield a warning for each mapped field that no sample of its account had."""
        for (name, kind), fields in self._missing.items():
            account, samples = self._load_accounts()[name], count_noun(self._samples[name, kind], "sample")
            for field in sorted(fields):
                path = f"platforms.{name}.{account.map_path(kind)}.{field}"
                yield f"{path}: found no value in {samples}; correct the pointer, or add a sample that has the value"

    def _load_accounts(self) -> Mapping[str, PlatformConfig]:
        if self._accounts is None:
            path = Path(load_settings(os.environ).config)
            self._accounts = load_checkable_config(path, os.environ).platforms if path.exists() else {}
        return self._accounts


class DeliveryReader:
    """Reader of the deliveries of rule tests. Builds the sources once, when a test contains a delivery."""

    def __init__(self) -> None:
        self._parts: ConfiguredParts | None = None

    def __call__(self, delivery: Delivery, at: str) -> ParsedFact:
        """Parse a delivery without verification of its signature.

        Raises:
            ConfigError: unknown source, invalid delivery, or invalid waybill.yaml.
        """
        if self._parts is None:
            self._parts = asyncio.run(_build_parts())
        sources = self._parts.sources
        source = sources.get(delivery.source)
        if source is None:
            fix = did_you_mean(delivery.source, sources)
            raise ConfigError(f"{at}.source", f"waybill.yaml has no source {delivery.source!r}", fix)
        try:
            parsed = source.parse(delivery, Verified(None, delivery.body))
        except Rejection as rejection:
            fix = "record the delivery unchanged, with the headers that contain its type"
            raise ConfigError(f"{at}.delivery", rejection.detail.removesuffix("."), fix) from None
        with_record = [index for index, fact in enumerate(parsed.facts) if fact.record is not None]
        if len(with_record) != 1:
            reason = f"the delivery contains {count_noun(len(with_record), 'event')} with a record, not 1"
            raise ConfigError(f"{at}.delivery", reason, "keep one event that the source accepts, and remove the others")
        [index] = with_record
        fact = parsed.facts[index]
        is_hinted = fact.record is not None and is_hint(self._parts.platforms, fact.record)
        headers = stored_headers(delivery.headers, source.stored_headers)
        return ParsedFact(fact, parsed.bodies[index], parsed.sender_ids[index], headers, is_hinted)


async def _build_parts() -> ConfiguredParts:
    settings = load_settings(os.environ)
    async with HttpClient(settings) as http_client:
        parts = ConfiguredParts(settings, http_client)
        _ = parts.sources  # built here, since connectors need a running event loop
        return parts


def _print_results(results: Sequence[RuleTestResult]) -> None:
    for result in results:
        print_text(f"{'ok    ' if not result.differences else 'FAILED'} {result.name}")
        for line in result.differences:
            print_text(f"       {line}")
    failed = sum(bool(result.differences) for result in results)
    print_text(f"{count_noun(len(results), 'test')}, {failed} failed")


def _write_junit(results: Sequence[RuleTestResult], path: Path) -> None:
    """Write the results as JUnit XML, which CI servers show."""
    failed = sum(bool(result.differences) for result in results)
    suite = ET.Element("testsuite", name="rules", tests=str(len(results)), failures=str(failed))
    for result in results:
        case = ET.SubElement(suite, "testcase", classname="rules", name=_to_xml(result.name))
        if result.differences:
            text = _to_xml("\n".join(result.differences))
            ET.SubElement(case, "failure", message=text.partition("\n")[0]).text = text
    try:
        ET.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise ConfigError("--junit", f"{path} cannot be written: {error.strerror}", "name a writable file") from None


def _to_xml(text: str) -> str:
    """Replace control characters, which XML cannot contain."""
    return NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
