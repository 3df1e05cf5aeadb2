"""The log reference: one section an event, each field with type, unit and meaning, as the log schema says it."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

import msgspec

Schema = Mapping[str, Any]

INTRODUCTION = """\
# Log reference

Made from `service/log_schema.json` (JSON Schema) by `python -m docs.generator`.

Every process writes one JSON object a line to standard output, and nothing else: what libraries log, warnings and
tracebacks come as lines of the same shape. At a terminal the same fields are rendered for reading. A line is one
`write` of at most `WAYBILL_LOG_LINE_BYTES_MAX` bytes; where it would be longer, its longest fields are cut and named
under `truncated`.

There is one canonical line per unit of work, written at its end even on failure: `delivery.received`,
`record.fetched`, `action.finished`, `attempt.finished`; and `queue.sampled`, which always ticks. `event_id` leads from
the first to the last of an event's lines, `trace_id` (W3C Trace Context) from the sender's system to those that were
called.

Never in a line: a body, a header, a secret, an e-mail address, a phone number, a name, an address. Fields are judged by
their names at any depth, texts are searched, values that are no plain data are named by their type.

The names are flat, so that every store of logs agrees on them, and map to OpenTelemetry:

| here | OpenTelemetry |
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
    """Read the log schema, which is part of the package."""
    return msgspec.json.decode((files("service") / "log_schema.json").read_bytes())


def logs_page() -> str:
    """Make docs/logs.md."""
    schema = read_schema()
    fields, events = schema["$defs"]["field"], schema["$defs"]["event"]
    line = schema["$defs"]["line"]
    parts = [INTRODUCTION, "## On every line\n", _table(line["properties"], line["required"], fields), "## Events\n"]
    parts += ["\n".join(_overview(events)) + "\n"]
    parts += [part for name, event in events.items() for part in _section(name, event, fields)]
    return "\n".join(parts)


def _overview(events: Schema) -> Iterator[str]:
    yield "| event | from | level | when |"
    yield "|---|---|---|---|"
    for name, event in events.items():
        said = event["properties"]
        components, levels = (", ".join(said[field]["enum"]) for field in ("component", "level"))
        yield f"| [`{name}`](#{name.replace('.', '')}) | {components} | {levels} | {event['description']} |"


def _section(name: str, event: Schema, fields: Schema) -> Iterator[str]:
    yield f"### {name}\n"
    yield event["description"] + "\n"
    own = {field: said for field, said in event["properties"].items() if field not in {"message", "level", "component"}}
    if own:
        yield _table(own, event["required"], fields)


def _table(properties: Schema, required: Sequence[str], fields: Schema) -> str:
    rows = ["| field | type | unit | always | meaning |", "|---|---|---|---|---|"]
    for name, said in properties.items():
        field = {**fields[name], **said}
        always = "yes" if name in required else ""
        rows.append(f"| `{name}` | {_type(field)} | {field.get('x-unit', '')} | {always} | {_meaning(field)} |")
    return "\n".join(rows) + "\n"


def _type(field: Schema) -> str:
    named: str | list[str] = field["type"]
    return named if isinstance(named, str) else " or ".join(named)


def _meaning(field: Schema) -> str:
    values = f" One of {', '.join(f'`{value}`' for value in field['enum'])}." if "enum" in field else ""
    return field["description"] + values
