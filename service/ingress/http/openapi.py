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

_DELIVERY = {"event": "purchase_order.updated", "data": {"id": "po-4711"}}
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
        "content": {
            "application/json": {
                "schema": {"allOf": [outcome, several]},
                "example": {"status": "queued", "event_id": "01a227c8660d7854b3a0704388149c9e"},
            }
        },
    }
    challenge: dict[str, Any] = {"description": "challenge response, if the source has challenges"}
    return {
        "operationId": name,
        "summary": "Deliver a webhook",
        "description": "202 means that each event of the delivery is stored durably. The format of the body and the "
        "signature are those of the source in waybill.yaml.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": {}, "example": _DELIVERY}}},
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
        "summary": "Request permission to deliver",
        "description": "Handshake of CloudEvents HTTP Webhook 1.0.2, section 4, for sources that permit it.",
        "parameters": [origin],
        "responses": {"200": {"description": "permission granted", "headers": headers}} | rejections,
    }


def _rejection(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": " or ".join(REJECTIONS[status]), "content": {MEDIA_TYPE: {"schema": schema}}}


def describe_health() -> dict[str, Any]:
    """Return the path items of the health endpoints, which both ports have."""
    ready = {"status": "ready", "durability": "fsync"}
    unready = {"status": "unready", "reason": "store_full", "durability": "fsync"}
    return {
        "/healthz": _health(
            "healthz",
            ("The process is alive", "Liveness: the process answers requests. The store is not checked."),
            {"200": {"status": "up"}},
        ),
        "/readyz": _health(
            "readyz",
            ("Events can be stored durably", "Readiness: 503 with the reason while no event can be stored durably."),
            {"200": ready, "503": unready},
        ),
    }


def _health(name: str, texts: tuple[str, str], examples: Mapping[str, Any]) -> dict[str, Any]:
    """Return the path item of an endpoint. `texts` are summary and description; `examples` the answers by status."""
    summary, description = texts
    described = {"summary": summary, "description": description}
    heads: dict[str, Any] = {status: {"description": example["status"]} for status, example in examples.items()}
    responses = {
        status: {**heads[status], "content": {"application/json": {"schema": {"type": "object"}, "example": example}}}
        for status, example in examples.items()
    }
    return {
        "get": {"operationId": name, **described, "responses": responses},
        "head": {"operationId": f"{name}Head", **described, "responses": heads},
    }
