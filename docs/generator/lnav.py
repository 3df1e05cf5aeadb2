"""Generator of the format file for lnav, which shows and queries log lines in a terminal."""

from typing import Any

import msgspec

from docs.generator.logs import read_schema

SHOWN = (
    "source_name",
    "delivery_status",
    "outcome",
    "reason",
    "platform",
    "rule_id",
    "attempt",
    "duration_ms",
    "error_kind",
    "event_id",
)
"""Fields after the event name on the first line; lnav shows the others below."""

OF_LNAV = frozenset({"timestamp", "level", "message", "truncated", "event_ids", "differing_event_ids"})
"""Fields with a fixed role in lnav, and lists, for which lnav has no kind."""

KINDS = {"string": "string", "integer": "integer", "number": "float", "boolean": "boolean"}
IDENTIFIERS = frozenset({"event_id", "trace_id", "source_name", "rule_id", "platform", "worker", "error_kind"})


def lnav_format() -> str:
    """Return the text of docs/waybill.lnav.json."""
    line: list[Any] = [{"field": "__timestamp__"}, " ", {"field": "message", "min-width": 18}]
    line += [{"field": name, "default-value": ""} if end else " " for name in SHOWN for end in (False, True)]
    form = {
        "title": "Waybill",
        "description": "Log lines of Waybill, one JSON object each.",
        "json": True,
        "hide-extra": False,
        "timestamp-field": "timestamp",
        "level-field": "level",
        "opid-field": "event_id",
        "level": {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "critical": "critical"},
        "value": {"message": {"kind": "string", "identifier": True}} | _values(),
        "line-format": line,
    }
    schema = "https://lnav.org/schemas/format-v1.schema.json"
    text = msgspec.json.encode({"$schema": schema, "waybill_log": form})
    return msgspec.json.format(text, indent=2).decode() + "\n"


def _values() -> dict[str, Any]:
    fields = read_schema()["$defs"]["field"]
    return {name: _value(name, field["type"]) for name, field in fields.items() if name not in OF_LNAV}


def _value(name: str, kinds: str | list[str]) -> dict[str, Any]:
    kind = kinds if isinstance(kinds, str) else kinds[0]
    return {"kind": KINDS[kind]} | ({"identifier": True} if name in IDENTIFIERS else {})
