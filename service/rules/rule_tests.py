"""Rule tests: files with a record and the expected matches and effects, for the CI of a rulebook.

```yaml
- name: a short receipt is claimed
  type: purchase_order
  event: {source: pack-orders, change: updated}
  now: "2026-01-31T12:00:00Z"                 # default: the current time
  record: {id: po-1, status: received, lines: [{quantity_ordered: 3, quantity_received: 1}]}
  raw: {id: po-1}                             # response of the platform; default: none
  previous: {id: po-1, status: expected}      # last decided state; default: none
  lookups: [{kind: supplier, record: {id: S-1, rating: 2}}]   # records that rules look up; default: none
  expect:
    matches: [short-receipt]                  # all rules that match, and no others
    unknown: []                               # all rules with the result unknown or error
    effects:                                  # all planned effects; only the listed inputs are compared
      - {rule: short-receipt, action: warn, inputs: {level: warning}}
```

`record` has the fields that rules use. Derived fields such as `total` are computed. Alternatively the test contains
the response of the platform's API, which the platform's connector parses:

```yaml
- name: response of pack.cloud from Monday
  type: purchase_order
  platform: pack_cloud                        # a kind of platform, or an account of waybill.yaml
  raw_file: captured/po-1.json                # or `raw` with the JSON itself
  currency: EUR                               # Flow Retail only: the tenant's
  expect: {matches: [short-receipt]}
```

The event can also be a delivery: `event: {source: pack-orders, delivery_file: captured/delivery.json}`. The envelope of
the source parses it, and rules read it under `delivery.`. A test of `type: event` needs no record.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType, structs

from service.config.decoding import decode_config, did_you_mean
from service.config.strict_yaml import read_yaml
from service.errors import ConfigError
from service.events import EVENT_KIND, Event, JsonValue, RecordRef
from service.records import Record, RecordTypes
from service.rules.posted_lookups import PostedLookup, read_lookups
from service.rules.rule_files import RULE_TEST_SUFFIXES
from service.rules.rule_records import read_record
from service.rules.rule_test_differences import Expectation, result_differences
from service.rules.rule_test_events import (
    ParseDelivery,
    ParsedFact,
    RuleTestEvent,
    build_event,
    read_delivery,
    read_sibling_file,
)
from service.rules.rulebook import Evaluation, Rulebook
from service.rules.scope import Subject
from service.rules.syntax import RuleType

RULE_TESTS_MAX = 1_000

_decoder = msgspec.json.Decoder[Any](float_hook=Decimal)


class RuleTest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule test."""

    name: str
    type: RuleType
    expect: Expectation
    record: dict[str, Any] | UnsetType = UNSET
    platform: str | None = None
    currency: str | None = None
    raw_file: str | None = None
    event: RuleTestEvent = RuleTestEvent()
    now: datetime | None = None
    raw: Any = None
    previous: dict[str, Any] | None = None
    lookups: tuple[PostedLookup, ...] = ()


ParseResponse = Callable[[RuleTest, str], tuple[Record, Any]]
"""Parses the platform response of a rule test into the record and `raw`. The second argument is the path for errors."""


class PreparedRuleTest(Struct, frozen=True):
    """A rule test that is ready to run: its event, its record and the platform's data are parsed."""

    test: RuleTest
    event: Event
    record: Record
    raw: Any


class RuleTestResult(Struct, frozen=True):
    """The result of a rule test. Without `differences` it passed."""

    name: str
    differences: Sequence[str]


def find_test_files(rule_files: Sequence[Path]) -> list[Path]:
    """Find the files of rule tests in the folders of rule files, sorted."""
    folders = sorted({path.parent for path in rule_files})
    return [path for folder in folders for path in sorted(folder.iterdir()) if path.name.endswith(RULE_TEST_SUFFIXES)]


def read_tests(
    path: Path, parse_response: ParseResponse, parse_delivery: ParseDelivery, records: RecordTypes
) -> tuple[PreparedRuleTest, ...]:
    """Read one file of rule tests.

    Args:
        path: the file.
        parse_response: parses the responses of platforms.
        parse_delivery: parses the deliveries of sources.
        records: the types of records.

    Raises:
        ConfigError: the file has a mistake; the error contains its path.
    """
    plain = read_yaml(path)
    found: tuple[RuleTest, ...] = decode_config(plain, tuple[RuleTest, ...], f"{path}: ")
    if len(found) > RULE_TESTS_MAX:
        reason = f"has {len(found)} rule tests, at most {RULE_TESTS_MAX} are allowed"
        raise ConfigError(str(path), reason, "use a second file")
    prepared: list[PreparedRuleTest] = []
    for index, test in enumerate(found):
        at = f"{path}: [{index}]"
        if test.type not in records:
            raise ConfigError(f"{at}.type", f"no record kind {test.type!r}", did_you_mean(test.type, records))
        parsed = read_delivery(test.event, path.parent, parse_delivery, f"{at}.event")
        completed = _with_event_record(test, parsed)
        subject = _read_subject(completed, path.parent, parse_response, records, at)
        prepared.append(prepare_test(completed, parsed, subject, records, at))
    return tuple(prepared)


def _with_event_record(test: RuleTest, parsed: ParsedFact | None) -> RuleTest:
    """Return a test of an event alone with its record, which the test may leave out."""
    if test.type != EVENT_KIND or test.record is not UNSET:
        return test
    named = parsed.fact.record.id if parsed is not None and parsed.fact.record is not None else ""
    return structs.replace(test, record={"id": named or test.event.id})


def prepare_test(
    test: RuleTest, parsed: ParsedFact | None, subject: tuple[Record, Any], records: RecordTypes, at: str
) -> PreparedRuleTest:
    """Build the event, and check `previous`."""
    record, raw = subject
    if test.previous is not None:
        read_record(records, test.type, {"id": record.id} | test.previous, f"{at}.previous")
    read_lookups(test.lookups, "", records, f"{at}.lookups")
    ref = RecordRef(test.event.platform or test.platform or "example", test.type, record.id)
    return PreparedRuleTest(test, build_event(test.event, parsed, ref, f"{at}.event"), record, raw)


def _read_subject(
    test: RuleTest, folder: Path, parse_response: ParseResponse, records: RecordTypes, at: str
) -> tuple[Record, Any]:
    """Parse the record, or the platform's response."""
    if test.platform is None:
        _reject_fields(test, at, {"currency": test.currency, "raw_file": test.raw_file})
        if test.record is UNSET:
            raise ConfigError(f"{at}.record", "is missing", "add record, or platform with raw or raw_file")
        return read_record(records, test.type, test.record, f"{at}.record"), read_raw(test.raw)
    if test.record is not UNSET:
        raise ConfigError(f"{at}.record", "cannot be combined with platform", "remove one of the two")
    if (test.raw is None) == (test.raw_file is None):
        fix = "add one of them, with the platform's response"
        raise ConfigError(f"{at}.raw", "exactly one of raw and raw_file is required", fix)
    if test.raw_file is not None:
        test = structs.replace(test, raw=_read_response_file(folder / test.raw_file, f"{at}.raw_file"))
    return parse_response(test, at)


def _reject_fields(test: RuleTest, at: str, given: Mapping[str, object]) -> None:
    for name, value in given.items():
        if value is not None:
            raise ConfigError(f"{at}.{name}", f"requires platform, in {test.name!r}", "add platform")


def _read_response_file(path: Path, at: str) -> JsonValue:
    try:
        return _decoder.decode(read_sibling_file(path, at))
    except (msgspec.DecodeError, ArithmeticError):  # Decimal rejects huge exponents
        raise ConfigError(at, f"{path} is not JSON", "store the platform's response unchanged") from None


def read_raw(written: JsonValue) -> JsonValue:
    """Parse plain data like a platform's response: numbers with a fraction become Decimal, never float."""
    return _decoder.decode(msgspec.json.encode(written))


def run_tests(rulebook: Rulebook, tests: Sequence[PreparedRuleTest]) -> Iterator[RuleTestResult]:
    """Run every rule test."""
    for prepared in tests:
        test = prepared.test
        yield RuleTestResult(test.name, list(result_differences(test.expect, run_test(rulebook, prepared))))


def run_test(rulebook: Rulebook, prepared: PreparedRuleTest) -> Evaluation:
    """Evaluate the rulebook for one rule test."""
    test, event, record = prepared.test, prepared.event, prepared.record
    previous = None
    if test.previous is not None:
        before = read_record(rulebook.records, test.type, {"id": record.id} | test.previous, "previous")
        previous = rulebook.previous_fields(Subject(event, before))
    lookups = read_lookups(test.lookups, event.record.platform, rulebook.records, "lookups")
    subject = Subject(event, record, prepared.raw, previous, lookups=lookups)
    return rulebook.evaluate(subject, test.now or datetime.now(UTC))
