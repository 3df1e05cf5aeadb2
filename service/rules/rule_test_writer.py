"""Rule tests from evaluated records: the text of a test that passes with the same rulebook. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

import msgspec
from msgspec import UNSET, Struct

from service.body_redaction import redact_text
from service.config.decoding import decode_config
from service.config.yaml_output import write_yaml
from service.errors import ConfigError
from service.redaction import IS_SECRET_OR_PERSONAL, scrub
from service.rules.rule_records import read_record
from service.rules.rule_test_differences import Expectation, result_differences
from service.rules.rule_tests import RuleTest, prepare_test, read_raw, run_test
from service.rules.rulebook import Evaluation, Rulebook
from service.rules.scope import Subject

DIFFERENT = "# The results differ from those of the record: the test has no personal data and no delivery.\n"
RAW_CHARACTERS_MAX = 50_000


def write_rule_test(rulebook: Rulebook, subject: Subject, evaluation: Evaluation, now: datetime) -> str | None:
    """Return the text of a rule test for a record that was evaluated at `now`, without secrets and personal data.

    The test passes with the rulebook. None if the record cannot be read back, such as a deleted one.
    """
    event = subject.event
    test: dict[str, Any] = {
        "name": f"{event.record.lane} at {now:%Y-%m-%d %H:%M}",
        "type": event.record.kind,
        "event": {
            "source": event.source,
            "type": event.type,
            "change": event.change,
            "platform": event.record.platform,
        },
        "now": now.isoformat(timespec="seconds"),
        "record": _redact(subject.record),
    }
    raw = _redact(subject.raw)
    if raw and len(msgspec.json.encode(raw)) <= RAW_CHARACTERS_MAX:
        test["raw"] = raw
    if subject.previous:
        test["previous"] = _decode_previous(subject.previous)
    lookups = [
        {"kind": each.ref.kind, "platform": each.ref.platform, "record": _redact(each.record)}
        for each in subject.lookups.found.values()
        if each.record is not None
    ]
    if lookups:
        test["lookups"] = lookups
    try:
        found = decode_config({**test, "expect": {}}, RuleTest, "test")
        record = read_record(rulebook.records, found.type, test["record"], "record")
        prepared = prepare_test(found, None, (record, read_raw(found.raw)), rulebook.records, "test")
        result = run_test(rulebook, prepared)
    except ConfigError:
        return None
    expected = _expect(result)
    is_same = not list(result_differences(decode_config(expected, Expectation, "expect"), evaluation))
    return ("" if is_same else DIFFERENT) + write_yaml([{**test, "expect": expected}])


def _expect(evaluation: Evaluation) -> dict[str, Any]:
    results = {"matches": ("matched",), "unknown": ("unknown", "error")}
    return {
        **{
            name: sorted(verdict.rule_id for verdict in evaluation.verdicts if verdict.result in words)
            for name, words in results.items()
        },
        "effects": [{"rule": effect.rule_id, "action": effect.action_id} for effect in evaluation.effects],
    }


def _redact(value: Struct | Any) -> Any:  # noqa: ANN401 - any response of a platform
    text = msgspec.json.encode(value).decode()
    return scrub(msgspec.json.decode(redact_text(text, IS_SECRET_OR_PERSONAL)))


def _decode_previous(previous: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of the previous state as a record: values of `service.rules.previous_state` by their paths."""
    record: dict[str, Any] = {}
    for path, stored in previous.items():
        value = _decode_value(stored)
        if value is UNSET:
            continue
        *parents, name = path.split(".")
        inner = record
        for parent in parents:
            inner = cast("dict[str, Any]", inner.setdefault(parent, {}))
        inner[name] = value
    return record


def _decode_value(stored: Any) -> Any:  # noqa: ANN401 - plain data
    match stored:
        case ["money", number, currency]:
            return {"value": str(number), "currency": currency}
        case ["number" | "date" | "moment", text]:
            return text
        case [*_]:
            return UNSET  # a digest
        case _:
            return stored
