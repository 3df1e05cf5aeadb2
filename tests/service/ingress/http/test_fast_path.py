"""Deliveries without the short way: any ASGI server can carry them, and answers that are begun are not begun again."""

from collections.abc import Mapping
from typing import Any, cast

import pytest
from litestar.types.asgi_types import HTTPScope

from service.ingestion.sources import Source
from service.ingress.app import build_app
from service.ingress.http.responses import make_response
from service.ingress.webhooks import WebhookHandler
from service.settings import Settings
from service.store import Store
from tests.service.ingress.conftest import Order, encode, signed

BODY = encode(Order("1"))


def scope_of(path: str) -> HTTPScope:
    headers = [(name.encode(), value.encode()) for name, value in signed(BODY).items()]
    told: dict[str, Any] = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers, "client": ("192.0.2.1", 1),
        "server": ("localhost", 80), "scheme": "http", "state": {},
    }  # fmt: skip
    return cast("HTTPScope", told)


class Wire:
    """What an ASGI server hands to an app: the body in two pieces, and a place for what is sent back."""

    def __init__(self) -> None:
        self.pieces = [(BODY[:5], True), (BODY[5:], False)]
        self.sent: list[Any] = []

    async def receive(self) -> Any:
        body, more = self.pieces.pop(0)
        return {"type": "http.request", "body": body, "more_body": more}

    async def send(self, message: Any) -> None:
        self.sent.append(message)


async def test_a_delivery_goes_through_any_server(
    settings: Settings, store: Store, sources: Mapping[str, Source]
) -> None:
    wire, webhooks = Wire(), WebhookHandler(settings, sources, store)
    await webhooks.receive_webhook(scope_of("/erp-orders"), wire.receive, wire.send)
    start, body = wire.sent
    assert (start["status"], body["more_body"]) == (202, False)
    assert dict(start["headers"])[b"content-length"] == str(len(body["body"])).encode()


async def test_litestar_leads_to_the_same_handler_as_the_entrance_before_it(
    settings: Settings, store: Store, sources: Mapping[str, Source]
) -> None:
    entrance = build_app(settings, sources, store)
    statuses: list[str] = []
    for app in (entrance, entrance.app, entrance):
        wire = Wire()
        await app(scope_of("/webhooks/erp-orders"), cast("Any", wire.receive), cast("Any", wire.send))
        statuses.append(wire.sent[1]["body"].partition(b",")[0].decode())
    assert statuses == ['{"status":"queued"', '{"status":"duplicate"', '{"status":"duplicate"']


@pytest.mark.parametrize("value", ["a\r\nx-b: c", "a\nb", "a\0"])
def test_no_header_can_end_another(value: str) -> None:
    with pytest.raises(ValueError, match="no headers"):
        make_response(200, "text/plain", b"", {"x-a": value})
