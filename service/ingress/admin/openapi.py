"""What the admin API offers as OpenAPI, refusals included: /docs/openapi.json.

Litestar derives the rest from the routes; which refusals an operation may answer follows from what it takes, and every
one has the shape of `problems`.
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
    "400": "a query or path that cannot be read",
    "401": "no token that is known here",
    "403": "a token whose role may not do this",
    "503": "the store does not answer; come again after Retry-After",
}
_BODY = {
    "409": "it is there already, comes from a file, or is under way",
    "413": "the body is too large",
    "415": "the body is no JSON",
    "422": "what was sent has mistakes, each with a pointer to it",
}
_ASKS_PLATFORMS = {"502": "the platform does not give what was asked for"}
_PAGED = {"409": "the item that the page before ended with is gone; begin again"}
_NAMED = {"404": "there is no such thing"}
_MATCHED = {
    "409": _BODY["409"],
    "412": "it was changed since it was read",
    "422": _BODY["422"],
    "428": "it takes an If-Match",
}

PROBLEM = problem_schema(
    {"description": "stable; what a program may rely on"},
    errors={
        "type": "array",
        "items": {
            "type": "object",
            "required": ["pointer", "detail"],
            "properties": {
                "pointer": {"type": "string", "description": "RFC 6901, or ?name for a word of the query"},
                "detail": {"type": "string"},
                "fix": {"type": "string"},
            },
        },
    },
)


class OpenApiRenderer(JsonRenderPlugin):
    """Litestar's document with the refusals that it cannot know."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Give the document as JSON."""
        document = with_error_codes(openapi_schema)
        return super().render(request, document)  # pyright: ignore[reportUnknownMemberType] - Litestar's own hole


def with_error_codes(document: Mapping[str, Any]) -> dict[str, Any]:
    """Name for every operation what it may refuse."""
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
    refusals = {status: {"description": meaning, "content": content} for status, meaning in errors}
    kept = {status: found for status, found in operation["responses"].items() if status not in refusals}
    return {**operation, "responses": {**kept, **refusals}}


def _error_statuses(path: str, operation: Mapping[str, Any]) -> dict[str, str]:
    """Give what an operation may refuse, each status with its meaning."""
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
        statuses |= _ASKS_PLATFORMS
    return statuses


def describe_api() -> OpenAPIConfig:
    """Say what the API offers. The document holds no data, and so takes no token."""
    bearer = SecurityScheme(type="http", scheme="bearer", description="A token of waybill.yaml, under admin.tokens.")
    return OpenAPIConfig(
        title="Waybill",
        version=version("waybill"),
        path="/docs",
        components=Components(security_schemes={"bearer": bearer}),
        render_plugins=[OpenApiRenderer()],
    )
