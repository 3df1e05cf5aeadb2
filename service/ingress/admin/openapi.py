"""OpenAPI document of the admin API with error responses: /docs/openapi.json.

Litestar generates the document from the routes. The error responses of an operation follow from its parameters; all
have the schema of `problems`.
"""

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import msgspec
from litestar import Request, Router
from litestar.datastructures import ResponseHeader
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from service.ingress.admin.api_examples import load_examples, with_example
from service.ingress.admin.api_page import POLICY, ApiPage
from service.ingress.http.openapi import describe_health
from service.ingress.http.problems import MEDIA_TYPE, problem_schema
from service.management.event_filter import EventFilter

_ALWAYS = {
    "400": "the query or the path is malformed",
    "401": "missing or unknown token",
    "403": "the role of the token does not permit the operation",
    "503": "the store does not answer; retry after Retry-After",
}
_BODY = {
    "409": "the item exists, comes from a file, or is in progress",
    "413": "the body is too large",
    "415": "the body is not JSON",
    "422": "the request is not valid; each error has a pointer",
}
_CALLS_PLATFORM = {"502": "the platform returned an error"}
_PAGED = {"409": "the last item of the previous page is gone; start again"}
_NAMED = {"404": "not found"}
_MATCHED = {
    "409": _BODY["409"],
    "412": "the item was changed since it was read",
    "422": _BODY["422"],
    "428": "If-Match is required",
}

API = "/api/"

_REFERENCE = re.compile(r"#/components/schemas/([^\"]+)")
_STRICT = {"additionalProperties": False}


def _with(name: str) -> dict[str, Any]:
    """Return the rule that a property is present and not null."""
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}


def _bulk(*states: str | None) -> dict[str, Any]:
    """Return the rule of a bulk request: the states of its events, and a filter unless it is for all of them."""
    fields = [name for name in EventFilter.__struct_fields__ if name != "state"]
    every = {"required": ["all"], "properties": {"all": {"const": True}}}
    some = {"properties": {"filter": {"anyOf": [_with(name) for name in fields]}}}
    return {"anyOf": [every, some], "allOf": [{"properties": {"filter": {"properties": {"state": {"enum": states}}}}}]}


_RULES: Mapping[str, Mapping[str, Any]] = {
    "DryRunRequest": {"oneOf": [_with(name) for name in ("event", "record", "post")]},
    "BulkReplayRequest": _bulk("dead", "ended", None),
    "BulkDiscardRequest": _bulk("dead", None),
}
"""Rules between the properties of a request, by the name of its schema."""

_METRICS_TEXT = {
    "schema": {"type": "string"},
    "example": "# TYPE waybill_events_pending gauge\nwaybill_events_pending 3.0\n",
}
_METRICS = {
    "get": {
        "operationId": "metrics",
        "summary": "Metrics in the text format of Prometheus",
        "description": "Metrics of this process and of its stores. No token is required.",
        "responses": {"200": {"description": "metrics", "content": {"text/plain": _METRICS_TEXT}}},
    }
}

PROBLEM = problem_schema(
    {"description": "stable error code for programs"},
    errors={
        "type": "array",
        "items": {
            "type": "object",
            "required": ["pointer", "detail"],
            "properties": {
                "pointer": {"type": "string", "description": "JSON pointer (RFC 6901), or ?name for a query parameter"},
                "detail": {"type": "string"},
                "fix": {"type": "string"},
            },
        },
    },
)


class OpenApiRenderer(JsonRenderPlugin):
    """Renderer that adds the error responses to Litestar's document."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the document as JSON."""
        document = with_error_codes(openapi_schema)
        return super().render(request, document)  # pyright: ignore[reportUnknownMemberType] - untyped in Litestar


def with_error_codes(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with the error responses of every operation."""
    examples = load_examples()
    paths = {
        path: {
            method: with_example(_operation(path, found), examples.get(f"{method.upper()} {path}", {}))
            for method, found in item.items()
        }
        for path, item in document["paths"].items()
        if path.startswith(API)
    }
    # Patterns of OpenAPI are those of ECMA-262, which has no \Z.
    schemas = msgspec.json.decode(msgspec.json.encode(document["components"]["schemas"]).replace(rb"\\Z", b"$"))
    of_requests = {name: {**schemas[name], **_STRICT, **_RULES.get(name, {})} for name in _request_schemas(document)}
    components = {**document["components"], "schemas": {**schemas, **of_requests, "Problem": PROBLEM}}
    return {**document, "paths": {**paths, **describe_health(), "/metrics": _METRICS}, "components": components}


def _request_schemas(document: Mapping[str, Any]) -> set[str]:
    """Return the names of the schemas of objects in request bodies. All of them reject unknown keys."""
    schemas: Mapping[str, Any] = document["components"]["schemas"]
    bodies = [found.get("requestBody") for item in document["paths"].values() for found in item.values()]
    names, read = set[str](), list[object](bodies)
    while read:
        new = set(_REFERENCE.findall(msgspec.json.encode(read.pop()).decode())) - names
        names |= new
        read += [schemas[name] for name in new]
    return {name for name in names if schemas[name].get("type") == "object"}


def _operation(path: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    errors = sorted(_error_statuses(path, operation).items())
    problems = {status: {"description": meaning, "content": content} for status, meaning in errors}
    others = {status: found for status, found in operation["responses"].items() if status not in problems}
    parameters = [
        {**each, "required": each["required"] or (each["name"] == "If-Match" and "428" in problems)}
        for each in _parameters(operation)
    ]
    description = operation.get("description") or operation.get("summary", "")
    summary = description.partition("\n")[0].partition(". ")[0].rstrip(".")
    return {**operation, "summary": summary, "parameters": parameters, "responses": {**others, **problems}}


def _parameters(operation: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return operation.get("parameters", ())


def _error_statuses(path: str, operation: Mapping[str, Any]) -> dict[str, str]:
    """Return the error statuses of an operation, each with its description."""
    statuses = dict(_ALWAYS)
    if "requestBody" in operation:
        statuses |= _BODY | _NAMED
    if "{" in path or path.endswith(("/rulebook", "/diff")):
        statuses |= _NAMED
    parameters = _parameters(operation)
    names = {parameter["name"] for parameter in parameters}
    if any(parameter["in"] == "query" for parameter in parameters):
        statuses["422"] = _BODY["422"]
    if "If-Match" in names:
        # A rule is changed in a known state only; a rulebook is replaced as a whole.
        statuses |= _MATCHED if "/rulebook" not in path else {"412": _MATCHED["412"]}
    if "after" in names:
        statuses |= _PAGED
    if "/dry-runs" in path or "/reads/" in path or "/writes/" in path:
        statuses |= _CALLS_PLATFORM
    return statuses


def describe_api() -> OpenAPIConfig:
    """Return the OpenAPI configuration. The document holds no data and requires no token."""
    bearer = SecurityScheme(type="http", scheme="bearer", description="A token of waybill.yaml, under admin.tokens.")
    return OpenAPIConfig(
        title="Waybill",
        version=version("waybill"),
        use_handler_docstrings=True,
        components=Components(security_schemes={"bearer": bearer}),
        render_plugins=[ApiPage(), OpenApiRenderer()],
        openapi_router=Router(
            "/docs",
            route_handlers=[],
            response_headers=[ResponseHeader(name="content-security-policy", value=POLICY)],
        ),
    )
