"""What senders can ask of port 8080, as an OpenAPI 3.1 document: made once at start, served on the operators' port.

It names no source, since whoever may read it need not know them, and no scheme: how a delivery is signed is between
its sender and waybill.yaml.
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
    400: ("malformed_payload",),
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
"""Every refusal's status with its stable codes; a source may answer another status for the two of 401."""

_STATUS = {"type": "string", "enum": ["queued", "duplicate", "ignored"]}
_EVENT_ID = {"type": ["string", "null"], "description": "the event's id, the first one's for a duplicate"}
_OUTCOME = {
    "type": "object",
    "required": ["status", "event_id"],
    "properties": {"status": _STATUS, "event_id": _EVENT_ID},
}
_PROBLEM = problem_schema({"enum": sorted({code for codes in REJECTIONS.values() for code in codes})})


def openapi_document() -> bytes:
    """Make the document."""
    source = {"name": "source", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    token = {"name": "token", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Waybill: webhooks", "version": version("waybill")},
        "paths": {
            "/webhooks/{source}": {"parameters": [source], "post": _deliver("deliver"), "options": _ask("ask")},
            "/webhooks/{source}/{token}": {
                "parameters": [source, token],
                "post": _deliver("deliverWithToken"),
                "options": _ask("askWithToken"),
            },
            "/healthz": _health("healthz", "the process answers", {}),
            "/readyz": _health("readyz", "an event can be kept durably", {"503": "it cannot"}),
        },
        "components": {"schemas": {"Outcome": _OUTCOME, "Problem": _PROBLEM}},
    }
    return msgspec.json.encode(document)


def openapi_route() -> HTTPRouteHandler:
    """Make the route that serves it."""
    document = openapi_document()

    @get(PATH, sync_to_thread=False, include_in_schema=False)
    def webhooks_description() -> Response[bytes]:
        return Response(document, media_type="application/json")

    return webhooks_description


def _deliver(name: str) -> dict[str, Any]:
    outcome = {"$ref": "#/components/schemas/Outcome"}
    several = {"properties": {"events": {"type": "array", "items": outcome}}}
    accepted = {
        "description": "kept safely, known already, or about nothing of interest",
        "content": {"application/json": {"schema": {"allOf": [outcome, several]}}},
    }
    challenge: dict[str, Any] = {"description": "the answer to a challenge, where the source has one"}
    return {
        "operationId": name,
        "summary": "Deliver a webhook",
        "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}},
        "responses": {"200": challenge, "202": accepted} | {str(status): _refusal(status) for status in REJECTIONS},
    }


def _ask(name: str) -> dict[str, Any]:
    origin = {"name": "WebHook-Request-Origin", "in": "header", "schema": {"type": "string"}}
    headers = {
        header: {"schema": {"type": "string"}} for header in ("Allow", "WebHook-Allowed-Origin", "WebHook-Allowed-Rate")
    }
    refusals = {str(status): _refusal(status) for status in (404, 429, 431, 503)}
    return {
        "operationId": name,
        "summary": "Ask whether one may deliver (CloudEvents HTTP Webhook 1.0.2, section 4)",
        "parameters": [origin],
        "responses": {"200": {"description": "what is allowed", "headers": headers}} | refusals,
    }


def _refusal(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": " or ".join(REJECTIONS[status]), "content": {MEDIA_TYPE: {"schema": schema}}}


def _health(name: str, meaning: str, others: Mapping[str, str]) -> dict[str, Any]:
    answers = {"200": meaning, **others}
    content = {"application/json": {"schema": {"type": "object"}}}
    responses = {status: {"description": text, "content": content} for status, text in answers.items()}
    heads = {status: {"description": text} for status, text in answers.items()}
    return {
        "get": {"operationId": name, "summary": meaning, "responses": responses},
        "head": {"operationId": f"{name}Head", "summary": meaning, "responses": heads},
    }
