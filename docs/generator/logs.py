"""Log reference: one section per event with type, unit and description of its fields, from the log schema."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

import msgspec

Schema = Mapping[str, Any]

INTRODUCTION = """\
# Log reference

Generated from `service/log_schema.json` (JSON Schema) by `python -m docs.generator`.

Every process writes one JSON object per line to standard output, and nothing else. Log messages of libraries, warnings
and tracebacks have the same format. On a terminal, the same fields are formatted for reading. A line is one `write` of
at most `WAYBILL_LOG_LINE_BYTES_MAX` bytes. In a longer line, the longest fields are truncated and listed in
`truncated`.

Each unit of work ends with one canonical line, even on failure: `delivery.received`, `record.fetched`,
`action.finished`, `attempt.finished`. `queue.sampled` is logged periodically. `event_id` connects all lines of an
event. `trace_id` (W3C Trace Context) connects them with the sender's system and the called systems.

A line never contains bodies, headers, secrets, e-mail addresses, phone numbers, names or postal addresses. Redaction
checks field names at any depth and searches texts. Values that are not plain data are replaced by their type.

Field names are flat, for compatibility with every log store, and map to OpenTelemetry:

| field | OpenTelemetry |
|---|---|
| `timestamp` | `Timestamp` |
| `level` | `SeverityText` |
| `message` | `event.name` |
| `component` | `service.name` (as `waybill-<component>`) |
| `trace_id` | `TraceId` |
| `http_status` | `http.response.status_code` |
| `error_kind` | `error.type` |
| `error_type` | `exception.type` |
| `error_message` | `exception.message` |
| `error_stack` | `exception.stacktrace` |
| `client_host` | `client.address` |
| `body_bytes` | `http.request.body.size` |
| others | `waybill.<name>` |
"""


def read_schema() -> Schema:
    """Read the log schema from the package."""
    return msgspec.json.decode((files("service") / "log_schema.json").read_bytes())


def logs_page() -> str:
    """Build docs/logs.md."""
    schema = read_schema()
    fields, events = schema["$defs"]["field"], schema["$defs"]["event"]
    line = schema["$defs"]["line"]
    parts = [
        INTRODUCTION,
        "## Fields of every line\n",
        _table(line["properties"], line["required"], fields),
        "## Events\n",
    ]
    parts += ["\n".join(_overview(events)) + "\n"]
    parts += [part for name, event in events.items() for part in _section(name, event, fields)]
    return "\n".join(parts)


def _overview(events: Schema) -> Iterator[str]:
    yield "| event | component | level | description |"
    yield "|---|---|---|---|"
    for name, event in events.items():
        schema_of = event["properties"]
        components, levels = (", ".join(schema_of[field]["enum"]) for field in ("component", "level"))
        yield f"| [`{name}`](#{name.replace('.', '')}) | {components} | {levels} | {event['description']} |"


def _section(name: str, event: Schema, fields: Schema) -> Iterator[str]:
    yield f"### {name}\n"
    yield event["description"] + "\n"
    own = {
        field: schema_of
        for field, schema_of in event["properties"].items()
        if field not in {"message", "level", "component"}
    }
    if own:
        yield _table(own, event["required"], fields)


def _table(properties: Schema, required: Sequence[str], fields: Schema) -> str:
    rows = ["| field | type | unit | required | description |", "|---|---|---|---|---|"]
    for name, schema_of in properties.items():
        field = {**fields[name], **schema_of}
        always = "yes" if name in required else ""
        rows.append(f"| `{name}` | {_type(field)} | {field.get('x-unit', '')} | {always} | {_description(field)} |")
    return "\n".join(rows) + "\n"


def _type(field: Schema) -> str:
    named: str | list[str] = field["type"]
    return named if isinstance(named, str) else " or ".join(named)


def _description(field: Schema) -> str:
    values = f" One of {', '.join(f'`{value}`' for value in field['enum'])}." if "enum" in field else ""
    return field["description"] + values
