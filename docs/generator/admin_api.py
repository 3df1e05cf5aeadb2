"""Generator of the reference of the admin API, from its OpenAPI document."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from service.config import AdminConfig, Config
from service.config.loading import OutboundConfig
from service.ingress.admin import admin_router
from service.ingress.admin.openapi import with_error_codes
from service.ingress.app import build_admin_app
from service.management.installation import Installation
from service.records import RECORDS
from service.settings import Settings
from service.store import build_shards

INTRODUCTION = """\
# Admin API

Generated from the OpenAPI document by `make pages`. The service serves the API on the admin port (8081), the document
at `/docs/openapi.json`, and a page to try it at `/docs`. Every request below `/api/v1` needs a token of `admin.tokens`:
`Authorization: Bearer TOKEN`. Errors are problem documents (RFC 9457) with a stable `code`.

| error status | meaning |
|---|---|
"""
_SCHEMA = "schema"
_ANY: Mapping[str, Any] = {}
METHODS = ("get", "put", "post", "patch", "delete")


def admin_api_page() -> str:
    """Return the page."""
    document = _document()
    parts = [INTRODUCTION, *_error_meanings(document)]
    groups = dict[str, list[str]]()
    for path, item in sorted(document["paths"].items()):
        group = path.removeprefix("/api/v1/").partition("/")[0] if path.startswith("/api/v1/") else "without a token"
        groups.setdefault(group, []).extend(
            section for method in METHODS if method in item for section in _operation(method, path, item[method])
        )
    for group, sections in groups.items():
        parts += [f"\n## {group.capitalize()}\n", *sections]
    return "".join(parts)


def _document() -> dict[str, Any]:
    """Return the OpenAPI document of an installation that nobody calls."""
    config = Config(
        path=Path("waybill.yaml"), record_types=RECORDS, platforms={}, records={}, sources={}, rules=(),
        outbound=OutboundConfig(), admin=AdminConfig(), warnings=(),
    )  # fmt: skip
    settings = Settings()
    shards = build_shards(settings)
    installation = Installation(
        open_store=lambda: shards,
        config=lambda: config,
        platforms=dict,
        sources=dict,
        actions=list,
        records=lambda: config.record_types,
    )
    app = build_admin_app(settings, shards, admin=admin_router(installation, {}))
    return with_error_codes(msgspec.json.decode(msgspec.json.encode(app.openapi_schema.to_schema())))


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n### `{method.upper()} {path}`\n\n"
    yield f"{operation.get('description') or operation.get('summary', '')}\n".replace("*", "\\*")
    parameters = operation.get("parameters", ())
    if parameters:
        yield "\n| parameter | in | type | meaning |\n|---|---|---|---|\n"
        for each in parameters:
            required = " (required)" if each.get("required") and each["in"] != "path" else ""
            meaning = " ".join(str(each.get("description", "")).split()).replace("|", "\\|")
            yield f"| `{each['name']}`{required} | {each['in']} | {_type(each.get('schema', {}))} | {meaning} |\n"
    if "requestBody" in operation:
        bodies = operation["requestBody"]["content"].items()
        yield f"\nBody: {', '.join(f'`{media}` {_type(body.get(_SCHEMA, {}))}' for media, body in bodies)}\n"
    statuses = operation["responses"]
    errors = ", ".join(status for status in statuses if status >= "400")
    answers = [f"{status} {_type(_schema_of(answer))}" for status, answer in statuses.items() if status < "400"]
    yield f"\nResponses: {'; '.join(answers)}; errors {errors}.\n"


def _schema_of(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((each.get("schema", {}) for each in answer.get("content", {}).values()), _ANY)


def _error_meanings(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the rows of the table of error statuses."""
    meanings: dict[str, dict[str, None]] = {}
    for item in document["paths"].values():
        for operation in item.values():
            for status, answer in operation["responses"].items():
                if status >= "400":
                    meanings.setdefault(status, {})[answer["description"]] = None
    for status in sorted(meanings):
        yield f"| {status} | {'; '.join(meanings[status])} |\n"


def _type(schema: Mapping[str, Any]) -> str:
    """Return a short description of a schema: the name of an object, or its type and bounds."""
    if "$ref" in schema:
        return f"`{str(schema['$ref']).rpartition('/')[2].rpartition('_')[2]}`"
    for key in ("oneOf", "anyOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(_type(each) for each in schema[key] if each.get("type") != "null"))
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"] if each is not None)
    kind = schema.get("type", "any")
    return f"list of {_type(schema.get('items', {}))}" if kind == "array" else str(kind)
