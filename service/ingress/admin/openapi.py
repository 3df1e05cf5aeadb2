"""OpenAPI document of the admin API with error responses: /docs/openapi.json.

Litestar generates the document from the routes. The error responses of an operation follow from its parameters; all
have the schema of `problems`.
"""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from litestar import Request
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from service.ingress.http.problems import MEDIA_TYPE, problem_schema

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
    paths = {
        path: {method: _operation(path, found) for method, found in item.items()}
        for path, item in document["paths"].items()
    }
    components = {**document["components"]}
    components["schemas"] = {**components.get("schemas", {}), "Problem": PROBLEM}
    return {**document, "paths": paths, "components": components}


def _operation(path: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    errors = sorted(_error_statuses(path, operation).items())
    problems = {status: {"description": meaning, "content": content} for status, meaning in errors}
    others = {status: found for status, found in operation["responses"].items() if status not in problems}
    return {**operation, "responses": {**others, **problems}}


def _error_statuses(path: str, operation: Mapping[str, Any]) -> dict[str, str]:
    """Return the error statuses of an operation, each with its description."""
    statuses = dict(_ALWAYS)
    if "requestBody" in operation:
        statuses |= _BODY | _NAMED
    if "{" in path or path.endswith(("/rulebook", "/diff")):
        statuses |= _NAMED
    parameters = operation.get("parameters", ())
    names = {parameter["name"] for parameter in parameters}
    if any(parameter["in"] == "query" for parameter in parameters):
        statuses["422"] = _BODY["422"]
    if "If-Match" in names:
        statuses |= _MATCHED
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
        path="/docs",
        components=Components(security_schemes={"bearer": bearer}),
        render_plugins=[OpenApiRenderer()],
    )
