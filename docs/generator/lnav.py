"""Format file with which lnav parses, colors and queries log lines, generated from the log schema."""

from typing import Any

import msgspec

from docs.generator.logs import read_schema

SHOWN_FIELDS = (
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
"""Fields shown in the line after the event name; other fields are shown in the details."""

EXCLUDED_FIELDS = frozenset({"timestamp", "level", "message", "truncated", "event_ids"})
"""Fields with a special role in lnav, and lists, which lnav does not support."""

KINDS = {"string": "string", "integer": "integer", "number": "float", "boolean": "boolean"}
IDENTIFIERS = frozenset({"event_id", "trace_id", "source_name", "rule_id", "platform", "worker", "error_kind"})


def lnav_format() -> str:
    """Build docs/waybill.lnav.json."""
    line: list[Any] = [{"field": "__timestamp__"}, " ", {"field": "message", "min-width": 18}]
    line += [{"field": name, "default-value": ""} if end else " " for name in SHOWN_FIELDS for end in (False, True)]
    log_format = {
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
    text = msgspec.json.encode({"$schema": schema, "waybill_log": log_format})
    return msgspec.json.format(text, indent=2).decode() + "\n"


def _values() -> dict[str, Any]:
    fields = read_schema()["$defs"]["field"]
    return {name: _value(name, field["type"]) for name, field in fields.items() if name not in EXCLUDED_FIELDS}


def _value(name: str, kinds: str | list[str]) -> dict[str, Any]:
    kind = kinds if isinstance(kinds, str) else kinds[0]
    return {"kind": KINDS[kind]} | ({"identifier": True} if name in IDENTIFIERS else {})
