"""Generator of the log reference: one section per event with type, unit and meaning of each field."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

import msgspec

Schema = Mapping[str, Any]

INTRODUCTION = """\
# Log reference

Generated from `service/log_schema.json` (JSON Schema) by `make pages`.

Every process writes one JSON object per line to standard output, and nothing else. Log records of libraries, warnings
and tracebacks have the same format. In a terminal the fields are formatted for reading. A line has at most
`WAYBILL_LOG_LINE_BYTES_MAX` bytes. In a longer line the longest fields are cut, and `truncated` lists them.

One `write` contains one or more complete lines, up to 4,096 bytes, so that lines of several processes on one pipe do
not mix. In `waybill serve` and `waybill worker` a thread writes the lines. Blocked output therefore stops neither: they
buffer 4 MiB, then drop lines and report their number in `log.lines_dropped`.

Each unit of work has one line, written at its end even on failure: `delivery.received`, `record.fetched`,
`action.finished`, `attempt.finished`. `queue.sampled` is written periodically. All lines of an event have the same
`event_id`. `trace_id` (W3C Trace Context) connects them with the systems of the sender and of the targets. With
[traces](../how-to/trace-events.md), `span_id` is the span of the line.

No line contains a body, a header, a secret, an e-mail address, a phone number, a name or a postal address. Fields are
redacted by name at any depth, and texts are searched. Values of other types are replaced by the name of their type.

Ids of other systems (`record_id`, `sender_event_id`, `correlation_id`) and event types are written as they are, unless
they have a space, `@`, `+` or a letter beyond ASCII: then they are `sha256:` and 16 digits of the digest.
`WAYBILL_LOG_IDS=digest` writes all three ids as digests, where a plain id identifies a person, such as a phone number.
To search for one: `printf %s ID | sha256sum | cut -c 1-16`.

Packages add or remove fields by structlog processors in the entry point group `waybill.log_processors`. Each processor
sees every line before its redaction, in the order of the entry points' names. `structlog.DropEvent` drops a line.
`.github/CONTRIBUTING.md` shows one.

`WAYBILL_LOG_SAMPLE_ONE_IN=10` writes the lines about successful work of one event in ten: all lines of the event, in
every process. Errors, waits and all other lines are always written. `weight` is the number of lines that a line stands
for, so that the sum of `weight` counts units of work. The dashboards and alerts use the sum.

The names are flat and reserved by no log store: Elastic Common Schema (ECS), OpenTelemetry, Datadog or Google Cloud. A
collector can rename them:

| Waybill | OpenTelemetry | ECS | Datadog | Google Cloud |
|---|---|---|---|---|
| `timestamp` | `Timestamp` | `@timestamp` | `timestamp` | `timestamp` |
| `level` | `SeverityText` | `log.level` | `status` | `severity` |
| `message` | `event.name` | `event.action`, `message` | `message` | `message` |
| `component` | `service.name` (as `waybill-<component>`) | `service.name` | `service` | `labels.component` |
| `version` | `service.version` | `service.version` | `version` | `labels.version` |
| `instance` | `service.instance.id` | `service.node.name` | `host` | `labels.instance` |
| `trace_id` | `TraceId` | `trace.id` | `trace_id` | `logging.googleapis.com/trace` |
| `span_id` | `SpanId` | `span.id` | `span_id` | `logging.googleapis.com/spanId` |
| `http_status` | `http.response.status_code` | `http.response.status_code` | `http.status_code` | `jsonPayload` |
| `error_kind` | `error.type` | `error.code` | `error.kind` | `jsonPayload` |
| `error_type` | `exception.type` | `error.type` | `error.type` | `jsonPayload` |
| `error_message` | `exception.message` | `error.message` | `error.message` | `jsonPayload` |
| `error_stack` | `exception.stacktrace` | `error.stack_trace` | `error.stack` | `jsonPayload` |
| `client_host` | `client.address` | `client.address` | `network.client.ip` | `jsonPayload` |
| `body_bytes` | `http.request.body.size` | `http.request.body.bytes` | `network.bytes_read` | `jsonPayload` |
| others | `waybill.<name>` | `waybill.<name>` | `<name>` | `jsonPayload.<name>` |
"""


def read_schema() -> Schema:
    """Read the log schema, which is part of the package."""
    return msgspec.json.decode((files("service") / "log_schema.json").read_bytes())


def logs_page() -> str:
    """Return the text of docs/reference/logs.md."""
    schema = read_schema()
    fields, events = schema["$defs"]["field"], schema["$defs"]["event"]
    line = schema["$defs"]["line"]
    parts = [INTRODUCTION, "## On every line\n", _table(line["properties"], line["required"], fields), "## Events\n"]
    parts += ["\n".join(_overview(events)) + "\n"]
    parts += [part for name, event in events.items() for part in _section(name, event, fields)]
    return "\n".join(parts)


def _overview(events: Schema) -> Iterator[str]:
    yield "| event | component | level | meaning |"
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
