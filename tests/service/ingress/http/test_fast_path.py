"""Deliveries without the fast path, as under another ASGI server."""

from collections.abc import Mapping
from typing import Any, cast

import pytest
from litestar.types.asgi_types import HTTPScope

from service.ingestion.sources import Source
from service.ingress.http.responses import make_response
from service.ingress.webhooks import WebhookHandler
from service.settings import Settings
from service.store import Store
from tests.service.ingress.conftest import Order, encode, signed

BODY = encode(Order("1"))


def scope_of(path: str) -> HTTPScope:
    headers = [(name.encode(), value.encode()) for name, value in signed(BODY).items()]
    scope: dict[str, Any] = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers, "client": ("192.0.2.1", 1),
        "server": ("localhost", 80), "scheme": "http", "state": {},
    }  # fmt: skip
    return cast("HTTPScope", scope)


class AsgiMessages:
    """ASGI `receive` and `send`: a body in two messages, and the messages sent back."""

    def __init__(self) -> None:
        self.chunks = [(BODY[:5], True), (BODY[5:], False)]
        self.sent: list[Any] = []

    async def receive(self) -> Any:
        body, more = self.chunks.pop(0)
        return {"type": "http.request", "body": body, "more_body": more}

    async def send(self, message: Any) -> None:
        self.sent.append(message)


async def test_delivery_is_accepted_under_any_asgi_server(
    settings: Settings, store: Store, sources: Mapping[str, Source]
) -> None:
    messages, webhooks = AsgiMessages(), WebhookHandler(settings, sources, store)
    await webhooks.receive_webhook(scope_of("/erp-orders"), messages.receive, messages.send)
    start, body = messages.sent
    assert (start["status"], body["more_body"]) == (202, False)
    assert dict(start["headers"])[b"content-length"] == str(len(body["body"])).encode()


@pytest.mark.parametrize("value", ["a\r\nx-b: c", "a\nb", "a\0"])
def test_header_with_a_line_break_is_rejected(value: str) -> None:
    with pytest.raises(ValueError, match="malformed"):
        make_response(200, "text/plain", b"", {"x-a": value})
