"""Examples beside the rules: a record in, the matches and effects it should give; for the CI of whoever writes rules.

```yaml
- name: a short receipt is claimed
  type: purchase_order
  event: {source: pack-orders, change: updated}
  now: "2026-01-31T12:00:00Z"                 # left out: the moment of the test
  record: {id: po-1, status: received, lines: [{quantity_ordered: 3, quantity_received: 1}]}
  raw: {id: po-1}                             # what the platform sent; left out: nothing
  previous: {id: po-1, status: expected}      # the record as it was decided last; left out: never
  expect:
    matches: [short-receipt]                  # all rules that match, and no other
    unknown: []                               # all that are unknown or an error
    effects:                                  # all that are asked for; of their inputs, those that are named here
      - {rule: short-receipt, action: warn, inputs: {level: warning}}
```

Records are written in our own shape, as rules see them; `total` and other derived fields follow from it. Or a
platform's own answer stands there, as its API gives it, and is read as that platform's connector reads it:

```yaml
- name: what pack.cloud answered on Monday
  type: purchase_order
  platform: pack_cloud                        # a kind of platform, or an account of waybill.yaml
  raw_file: captured/po-1.json                # or `raw` with the JSON itself
  currency: EUR                               # Flow Retail only: the tenant's
  expect: {matches: [short-receipt]}
```

So may the event: `event: {source: pack-orders, delivery_file: captured/delivery.json}` is what its source reads in it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import UNSET, Struct, UnsetType, field, structs

from service.config.decoding import decode_config, did_you_mean
from service.config.strict_yaml import read_yaml
from service.errors import ConfigError
from service.events import EVENT_VERSION, Event, Fact, JsonValue, RecordRef
from service.records import RECORDS, Record
from service.rules.fields import item_of, members
from service.rules.rule_files import EXAMPLE_ENDINGS
from service.rules.rule_test_events import ExampleEvent, ReadDelivery, event_of_delivery, read_event, read_sibling_file
from service.rules.rulebook import Evaluation, Rulebook, RuleResult
from service.rules.scope import Subject
from service.rules.syntax import RuleType

EXAMPLES_MAX = 1_000

_answers = msgspec.json.Decoder[Any](float_hook=Decimal)


class ExpectedEffect(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An effect that is asked for; `inputs` names those parts of its inputs that matter."""

    rule: str
    action: str
    inputs: dict[str, Any] = field(default_factory=dict[str, Any])


class Expectation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the rules should say. What is left out is not looked at."""

    matches: tuple[str, ...] | UnsetType = UNSET
    unknown: tuple[str, ...] | UnsetType = UNSET
    effects: tuple[ExpectedEffect, ...] | UnsetType = UNSET


class RuleTest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One example."""

    name: str
    type: RuleType
    expect: Expectation
    record: dict[str, Any] | UnsetType = UNSET
    platform: str | None = None
    currency: str | None = None
    raw_file: str | None = None
    event: ExampleEvent = ExampleEvent()
    now: datetime | None = None
    raw: Any = None
    previous: dict[str, Any] | None = None


ReadAnswer = Callable[[RuleTest, str], tuple[Record, Any]]
"""From an example with a platform's answer, and where it stands, to the record and what rules see as `raw`."""


class Prepared(Struct, frozen=True):
    """An example that can be judged: its record and the platform's own data are read."""

    example: RuleTest
    record: Record
    raw: Any


class RuleTestResult(Struct, frozen=True):
    """How an example turned out; no `differences` means as expected."""

    name: str
    differences: Sequence[str]


def find_test_files(rule_files: Sequence[Path]) -> list[Path]:
    """Find the files of examples in the folders of rule files, sorted."""
    folders = sorted({path.parent for path in rule_files})
    return [path for folder in folders for path in sorted(folder.iterdir()) if path.name.endswith(EXAMPLE_ENDINGS)]


def read_tests(path: Path, read_answer: ReadAnswer, read_delivery: ReadDelivery) -> tuple[Prepared, ...]:
    """Read one file of examples; `read_answer` knows the platforms, `read_delivery` the sources.

    Raises:
        ConfigError: a mistake in it, with its place.
    """
    plain = read_yaml(path)
    found: tuple[RuleTest, ...] = decode_config(plain, tuple[RuleTest, ...], f"{path}: ")
    if len(found) > EXAMPLES_MAX:
        raise ConfigError(str(path), f"{len(found)} examples, at most {EXAMPLES_MAX}", "write a second file")
    return tuple(
        _with_event(_prepare(example, path.parent, read_answer, at), path.parent, read_delivery, f"{at}.event")
        for at, example in ((f"{path}: [{index}]", example) for index, example in enumerate(found))
    )


def _with_event(prepared: Prepared, folder: Path, read_delivery: ReadDelivery, at: str) -> Prepared:
    example = prepared.example
    read = read_event(example.event, folder, read_delivery, at)
    event = (
        event_of_delivery(read, example.event, prepared.record, example.type, at) if isinstance(read, Fact) else read
    )
    return structs.replace(prepared, example=structs.replace(example, event=event))


def _prepare(example: RuleTest, folder: Path, read_answer: ReadAnswer, at: str) -> Prepared:
    """Read the record, in our shape or in a platform's, and try the one before it."""
    if example.platform is None:
        _reject_fields(example, at, {"currency": example.currency, "raw_file": example.raw_file})
        if example.record is UNSET:
            raise ConfigError(f"{at}.record", "is missing", "write the record, or a platform and its raw answer")
        prepared = Prepared(example, read_record(example.type, example.record, f"{at}.record"), read_raw(example.raw))
    else:
        if example.record is not UNSET:
            raise ConfigError(f"{at}.record", "stands beside a platform's answer", "leave one of the two out")
        if (example.raw is None) == (example.raw_file is None):
            raise ConfigError(f"{at}.raw", "one of raw and raw_file is due", "write the platform's answer once")
        if example.raw_file is not None:
            completed = structs.replace(example, raw=_read_answer_file(folder / example.raw_file, f"{at}.raw_file"))
        else:
            completed = example
        prepared = Prepared(example, *read_answer(completed, at))
    if example.previous is not None:
        read_record(example.type, {"id": prepared.record.id} | example.previous, f"{at}.previous")
    return prepared


def _reject_fields(example: RuleTest, at: str, given: Mapping[str, object]) -> None:
    for name, value in given.items():
        if value is not None:
            raise ConfigError(f"{at}.{name}", f"has no meaning without a platform, in {example.name!r}", "add platform")


def _read_answer_file(path: Path, at: str) -> JsonValue:
    try:
        return _answers.decode(read_sibling_file(path, at))
    except msgspec.DecodeError:
        raise ConfigError(at, f"{path} is no JSON", "keep the answer as the platform gave it") from None


def read_raw(written: JsonValue) -> JsonValue:
    """Read plain data as a platform's answer is read: numbers that are not whole are Decimals, never float."""
    return _answers.decode(msgspec.json.encode(written))


def read_record(kind: str, written: Mapping[str, Any], at: str) -> Record:
    """Read a record in our own shape; unknown names are refused, since they would be missing in silence.

    Raises:
        ConfigError: a mistake in it, below `at`.
    """
    _check_names(written, RECORDS[kind], at)
    return decode_config(written, RECORDS[kind], at)


def _check_names(written: object, structure: type[Struct], at: str) -> None:
    """See that every name is one that is read, also in what is nested; what has another shape is left to decoding."""
    for name, value in cast("dict[str, Any]", written if isinstance(written, Mapping) else {}).items():
        if name not in structure.__struct_fields__:
            fix = did_you_mean(name, structure.__struct_fields__)
            raise ConfigError(f"{at}.{name}", "is no field that a record holds", fix)
        member = members(structure)[name]
        inner = item_of(member) or member.type
        if not (isinstance(inner, type) and issubclass(inner, Struct)):
            continue
        if isinstance(value, list):
            for index, item in enumerate(cast("list[Any]", value)):
                _check_names(item, inner, f"{at}.{name}[{index}]")
        else:
            _check_names(value, inner, f"{at}.{name}")


def run_tests(rulebook: Rulebook, examples: Sequence[Prepared]) -> Iterator[RuleTestResult]:
    """Judge every example."""
    for prepared in examples:
        example = prepared.example
        yield RuleTestResult(example.name, list(_differences(example.expect, run_test(rulebook, prepared))))


def run_test(rulebook: Rulebook, prepared: Prepared) -> Evaluation:
    """Judge one example."""
    example, record = prepared.example, prepared.record
    given = example.event
    ref = RecordRef(given.platform or example.platform or "example", example.type, record.id)
    event = Event(
        EVENT_VERSION, given.id, given.source, given.type, given.change, ref, given.occurred_at, {}, None, b""
    )
    previous = None
    if example.previous is not None:
        before = read_record(example.type, {"id": record.id} | example.previous, "previous")
        previous = rulebook.previous_fields(Subject(event, before))
    return rulebook.evaluate(Subject(event, record, prepared.raw, previous), example.now or datetime.now(UTC))


def _differences(expected: Expectation, judgement: Evaluation) -> Iterator[str]:
    verdicts = {verdict.rule_id: verdict for verdict in judgement.verdicts}
    sets = (("matches", expected.matches, {"matched"}), ("unknown", expected.unknown, {"unknown", "error"}))
    for word, expected_ids, results in sets:
        if expected_ids is UNSET:
            continue
        got = {rule for rule, verdict in verdicts.items() if verdict.result in results}
        for rule in sorted(set(expected_ids) - got):
            yield f"- {word}: {rule}" + _instead(verdicts.get(rule))
        for rule in sorted(got - set(expected_ids)):
            yield f"+ {word}: {rule}" + _instead(verdicts.get(rule))
    if expected.effects is not UNSET:
        yield from _effect_differences(expected.effects, judgement)


def _instead(verdict: RuleResult | None) -> str:
    if verdict is None:
        return " (was not asked: no such rule for this type, event and source)"
    return f" ({verdict.result}{': ' + verdict.reason if verdict.reason else ''})"


def _effect_differences(expected: Sequence[ExpectedEffect], judgement: Evaluation) -> Iterator[str]:
    got = {(effect.rule_id, effect.action_id): effect.inputs for effect in judgement.effects}
    due = {(effect.rule, effect.action): effect.inputs for effect in expected}
    for rule, action in sorted(due.keys() - got.keys()):
        yield f"- effect: {rule}.{action}"
    for rule, action in sorted(got.keys() - due.keys()):
        yield f"+ effect: {rule}.{action}"
    for key in sorted(due.keys() & got.keys()):
        for path, left, right in _unlike(due[key], got[key], ""):
            yield f"- effect: {key[0]}.{key[1]}{path} = {left!r}"
            yield f"+ effect: {key[0]}.{key[1]}{path} = {right!r}"


def _unlike(due: JsonValue, got: JsonValue, path: str) -> Iterator[tuple[str, JsonValue, JsonValue]]:
    """Compare what is named; what is not named may be anything."""
    if isinstance(due, dict) and isinstance(got, dict):
        found = cast("dict[str, Any]", got)
        for name, value in cast("dict[str, Any]", due).items():
            yield from _unlike(value, found.get(name), f"{path}.{name}")
    elif due != got:
        yield path, due, got
