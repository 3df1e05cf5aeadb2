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

Records are written in our own shape, as rules see them; `total` and other derived fields follow from it.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from service.config.strict_yaml import read_yaml
from service.errors import ConfigError
from service.events import EVENT_VERSION, Change, Event, RecordRef
from service.records import RECORDS, Record
from service.rules.compiling import shape_error
from service.rules.files import EXAMPLE_ENDINGS
from service.rules.language import RuleType
from service.rules.rulebook import Judgement, Rulebook
from service.rules.scope import Subject

EXAMPLES_MAX = 1_000


class ExampleEvent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The event of an example; only what rules may ask of it."""

    source: str = "example"
    type: str = "example"
    change: Change = "updated"
    platform: str = "example"
    id: str = "0" * 32
    occurred_at: str | None = None


class ExpectedEffect(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An effect that is asked for; `inputs` names those parts of its inputs that matter."""

    rule: str
    action: str
    inputs: dict[str, Any] = field(default_factory=dict[str, Any])


class Expected(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the rules should say. What is left out is not looked at."""

    matches: tuple[str, ...] | UnsetType = UNSET
    unknown: tuple[str, ...] | UnsetType = UNSET
    effects: tuple[ExpectedEffect, ...] | UnsetType = UNSET


class Example(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One example."""

    name: str
    type: RuleType
    record: dict[str, Any]
    expect: Expected
    event: ExampleEvent = ExampleEvent()
    now: datetime | None = None
    raw: Any = None
    previous: dict[str, Any] | None = None


class Result(Struct, frozen=True):
    """How an example turned out; no `differences` means as expected."""

    name: str
    differences: Sequence[str]


def find_example_files(rule_files: Sequence[Path]) -> list[Path]:
    """Find the files of examples in the folders of rule files, sorted."""
    folders = sorted({path.parent for path in rule_files})
    return [path for folder in folders for path in sorted(folder.iterdir()) if path.name.endswith(EXAMPLE_ENDINGS)]


def read_examples(path: Path) -> tuple[Example, ...]:
    """Read one file of examples.

    Raises:
        ConfigError: a mistake in it, with its place.
    """
    plain = read_yaml(path)
    try:
        found = msgspec.convert(plain, tuple[Example, ...])
    except msgspec.ValidationError as error:
        raise shape_error(error, f"{path}: ") from None
    if len(found) > EXAMPLES_MAX:
        raise ConfigError(str(path), f"{len(found)} examples, at most {EXAMPLES_MAX}", "write a second file")
    for index, example in enumerate(found):
        record = read_record(example.type, example.record, f"{path}: [{index}].record")
        if example.previous is not None:
            read_record(example.type, {"id": record.id} | example.previous, f"{path}: [{index}].previous")
    return found


def read_record(kind: str, written: Mapping[str, Any], at: str) -> Record:
    """Read a record in our own shape; unknown names are refused, since they would be missing in silence.

    Raises:
        ConfigError: a mistake in it, below `at`.
    """
    strays = sorted(set(written) - set(RECORDS[kind].__struct_fields__))
    if strays:
        known = ", ".join(RECORDS[kind].__struct_fields__)
        raise ConfigError(f"{at}.{strays[0]}", "is no field that a record holds", f"take some of {known}")
    try:
        return msgspec.convert(written, RECORDS[kind])
    except msgspec.ValidationError as error:
        raise shape_error(error, at) from None


def run_examples(rulebook: Rulebook, examples: Sequence[Example]) -> Iterator[Result]:
    """Judge every example."""
    for example in examples:
        yield Result(example.name, list(_differences(example.expect, judge_example(rulebook, example))))


def judge_example(rulebook: Rulebook, example: Example) -> Judgement:
    """Judge one example whose records were read before."""
    record = read_record(example.type, example.record, "record")
    told = example.event
    ref = RecordRef(told.platform, example.type, record.id)
    event = Event(
        EVENT_VERSION, told.id, told.source, told.type, told.change, ref, told.occurred_at, {}, None, b""
    )  # fmt: skip
    previous = None
    if example.previous is not None:
        before = read_record(example.type, {"id": record.id} | example.previous, "previous")
        previous = rulebook.remember(Subject(event, before))
    return rulebook.judge(Subject(event, record, example.raw, previous), example.now or datetime.now(UTC))


def _differences(expected: Expected, judgement: Judgement) -> Iterator[str]:
    verdicts = {verdict.rule: verdict for verdict in judgement.verdicts}
    sets = (("matches", expected.matches, {"matched"}), ("unknown", expected.unknown, {"unknown", "error"}))
    for word, wanted, results in sets:
        if wanted is UNSET:
            continue
        got = {rule for rule, verdict in verdicts.items() if verdict.result in results}
        for rule in sorted(set(wanted) - got):
            yield f"- {word}: {rule}" + _instead(verdicts.get(rule))
        for rule in sorted(got - set(wanted)):
            yield f"+ {word}: {rule}" + _instead(verdicts.get(rule))
    if expected.effects is not UNSET:
        yield from _effect_differences(expected.effects, judgement)


def _instead(verdict: Any) -> str:  # noqa: ANN401 - a Verdict, or None for a rule that was not asked
    if verdict is None:
        return " (was not asked: no such rule for this type, event and source)"
    return f" ({verdict.result}{': ' + verdict.reason if verdict.reason else ''})"


def _effect_differences(wanted: Sequence[ExpectedEffect], judgement: Judgement) -> Iterator[str]:
    got = {(effect.rule, effect.action): effect.inputs for effect in judgement.effects}
    due = {(effect.rule, effect.action): effect.inputs for effect in wanted}
    for rule, action in sorted(due.keys() - got.keys()):
        yield f"- effect: {rule}.{action}"
    for rule, action in sorted(got.keys() - due.keys()):
        yield f"+ effect: {rule}.{action}"
    for key in sorted(due.keys() & got.keys()):
        for path, left, right in _unlike(due[key], got[key], ""):
            yield f"- effect: {key[0]}.{key[1]}{path} = {left!r}"
            yield f"+ effect: {key[0]}.{key[1]}{path} = {right!r}"


def _unlike(due: Any, got: Any, path: str) -> Iterator[tuple[str, Any, Any]]:  # noqa: ANN401 - plain JSON
    """Compare what is named; what is not named may be anything."""
    if isinstance(due, dict) and isinstance(got, dict):
        found = cast("dict[str, Any]", got)
        for name, value in cast("dict[str, Any]", due).items():
            yield from _unlike(value, found.get(name), f"{path}.{name}")
    elif due != got:
        yield path, due, got
