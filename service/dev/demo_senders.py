"""HTTP client of the demonstration. Signs deliveries as the platforms document it."""

import base64
import hashlib
import hmac
import http.client
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from service.events import JsonValue

TIMEOUT_SECONDS = 10.0


class DeliveryRequest(Struct, frozen=True):
    """A delivery to `/webhooks/<source>`."""

    source: str
    headers: dict[str, str]
    body: bytes


class DeliveryResponse(Struct, frozen=True):
    """An HTTP response. `body` is the decoded JSON, an empty object if the body is not JSON."""

    status: int
    body: Any


def signed_by_hmac(source: str, payload: Mapping[str, Any], secret: str) -> DeliveryRequest:
    """Build a delivery signed like pack.cloud: HMAC-SHA256 in hex, in X-Signature."""
    body = msgspec.json.encode(payload)
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return DeliveryRequest(source, {"X-Signature": signature}, body)


def with_basic(source: str, payload: Mapping[str, Any], username: str, password: str) -> DeliveryRequest:
    """Build a delivery with HTTP Basic credentials, as Flow Retail sends it."""
    credentials = base64.b64encode(f"{username}:{password}".encode()).decode()
    return DeliveryRequest(source, {"Authorization": f"Basic {credentials}"}, msgspec.json.encode(payload))


def call(
    method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> DeliveryResponse:
    """Send one request on a new connection.

    Raises:
        OSError, http.client.HTTPException: no valid response arrives.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_SECONDS)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, body, {"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        return DeliveryResponse(response.status, _decode(response.read()))
    finally:
        connection.close()


def send(service_url: str, request: DeliveryRequest) -> DeliveryResponse:
    """Send a delivery to the service at `service_url`."""
    return call("POST", f"{service_url}/webhooks/{request.source}", request.headers, request.body)


def _decode(body: bytes) -> JsonValue:
    try:
        return msgspec.json.decode(body)
    except msgspec.MsgspecError:
        return {}
