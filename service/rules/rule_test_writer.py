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
from service.redaction import IS_SECRET_OR_PERSONAL, REDACTED, scrub
from service.rules.fields import describe_fields, item_of, members
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
        "record": _redact_record(subject.record),
    }
    # The platform's own names differ from the declared ones.
    raw = None if _declares_personal(type(subject.record)) else _redact(subject.raw)
    if raw and len(msgspec.json.encode(raw)) <= RAW_CHARACTERS_MAX:
        test["raw"] = raw
    if subject.previous:
        test["previous"] = _decode_previous(subject.previous)
    lookups = [
        {"kind": each.ref.kind, "platform": each.ref.platform, "record": _redact_record(each.record)}
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


def _declares_personal(record: type[Struct]) -> bool:
    types = (record, *(item_of(member) or member.type for member in describe_fields(record).values()))
    return any(getattr(each, "personal_fields", ()) for each in types)


def _redact_record(record: Struct) -> Any:  # noqa: ANN401 - plain data
    """Redact a record by the personal fields of its type, and by name."""
    return _redact(_redact_fields(msgspec.json.decode(msgspec.json.encode(record)), type(record)))


def _redact_fields(plain: Mapping[str, Any], record: type[Struct]) -> dict[str, Any]:
    """Return plain data of a record with its personal text redacted, and without other personal values."""
    found: dict[str, Any] = {}
    for name, value in plain.items():
        member = members(record)[name]
        inner = item_of(member) or member.type
        if value and isinstance(inner, type) and issubclass(inner, Struct) and member.kind != "money":
            is_list = member.kind == "list"
            found[name] = [_redact_fields(item, inner) for item in value] if is_list else _redact_fields(value, inner)
        elif not member.personal or value is None or value == "" or isinstance(value, bool):
            found[name] = value
        elif member.kind == "text":
            found[name] = REDACTED
    return found


def _redact(value: Any) -> Any:  # noqa: ANN401 - any response of a platform
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
