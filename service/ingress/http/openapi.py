"""OpenAPI 3.1 document of the webhook port, built at start and served on the admin port.

It names neither sources nor signature schemes, which depend on waybill.yaml.
"""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from service.ingress.http.problems import MEDIA_TYPE, problem_schema

PATH = "/docs/webhooks.json"

REJECTIONS: Mapping[int, tuple[str, ...]] = {
    400: ("malformed_payload", "bad_request"),
    401: ("not_verified", "stale_timestamp"),
    404: ("unknown_source",),
    405: ("method_not_allowed",),
    408: ("request_timeout",),
    413: ("payload_too_large",),
    415: ("unsupported_media_type",),
    422: ("unrecognized_event",),
    429: ("too_many_requests",),
    431: ("headers_too_large",),
    500: ("internal",),
    503: ("store_unavailable", "store_full", "too_many_requests"),
}
"""HTTP statuses of rejections with their stable codes. `failure_status` of a source replaces 401."""

_STATUS = {"type": "string", "enum": ["queued", "duplicate", "ignored", "rejected"]}
_EVENT_ID = {"type": ["string", "null"], "description": "id of the event; for a duplicate, of the first one"}
_OUTCOME = {
    "type": "object",
    "required": ["status", "event_id"],
    "properties": {"status": _STATUS, "event_id": _EVENT_ID},
}
_PROBLEM = problem_schema({"enum": sorted({code for codes in REJECTIONS.values() for code in codes})})


def openapi_document() -> bytes:
    """Build and encode the document."""
    source = {"name": "source", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    token = {"name": "token", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Waybill: webhooks", "version": version("waybill")},
        "paths": {
            "/webhooks/{source}": {
                "parameters": [source],
                "post": _deliver("deliver"),
                "options": _handshake("handshake"),
            },
            "/webhooks/{source}/{token}": {
                "parameters": [source, token],
                "post": _deliver("deliverWithToken"),
                "options": _handshake("handshakeWithToken"),
            },
            **describe_health(),
        },
        "components": {"schemas": {"Outcome": _OUTCOME, "Problem": _PROBLEM}},
    }
    return msgspec.json.encode(document)


def openapi_route() -> HTTPRouteHandler:
    """Build the route that serves the document."""
    document = openapi_document()

    @get(PATH, sync_to_thread=False, include_in_schema=False)
    def webhooks_description() -> Response[bytes]:
        return Response(document, media_type="application/json")

    return webhooks_description


def _deliver(name: str) -> dict[str, Any]:
    outcome = {"$ref": "#/components/schemas/Outcome"}
    several = {"properties": {"events": {"type": "array", "items": outcome}}}
    accepted = {
        "description": "stored durably (queued), stored before (duplicate), or not about a record (ignored)",
        "content": {"application/json": {"schema": {"allOf": [outcome, several]}}},
    }
    challenge: dict[str, Any] = {"description": "challenge response, if the source has challenges"}
    return {
        "operationId": name,
        "summary": "Deliver a webhook",
        "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}},
        "responses": {"200": challenge, "202": accepted} | {str(status): _rejection(status) for status in REJECTIONS},
    }


def _handshake(name: str) -> dict[str, Any]:
    origin = {"name": "WebHook-Request-Origin", "in": "header", "schema": {"type": "string"}}
    headers = {
        header: {"schema": {"type": "string"}} for header in ("Allow", "WebHook-Allowed-Origin", "WebHook-Allowed-Rate")
    }
    rejections = {str(status): _rejection(status) for status in (404, 429, 431, 503)}
    return {
        "operationId": name,
        "summary": "Request permission to deliver (CloudEvents HTTP Webhook 1.0.2, section 4)",
        "parameters": [origin],
        "responses": {"200": {"description": "permission granted", "headers": headers}} | rejections,
    }


def _rejection(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": " or ".join(REJECTIONS[status]), "content": {MEDIA_TYPE: {"schema": schema}}}


def describe_health() -> dict[str, Any]:
    """Return the path items of the health endpoints, which both ports have."""
    return {
        "/healthz": _health("healthz", "the process is alive", {}),
        "/readyz": _health("readyz", "events can be stored durably", {"503": "events cannot be stored durably"}),
    }


def _health(name: str, meaning: str, others: Mapping[str, str]) -> dict[str, Any]:
    descriptions = {"200": meaning, **others}
    content = {"application/json": {"schema": {"type": "object"}}}
    responses = {status: {"description": text, "content": content} for status, text in descriptions.items()}
    heads = {status: {"description": text} for status, text in descriptions.items()}
    return {
        "get": {"operationId": name, "summary": meaning, "responses": responses},
        "head": {"operationId": f"{name}Head", "summary": meaning, "responses": heads},
    }
