"""Deliveries, purchase order and rules for all sides."""

import hashlib
import hmac
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from service.events import EVENT_VERSION, Event, RecordRef, new_event_id
from service.records import Line, Money, PurchaseOrder, Supplier

SECRET = "bench-secret"
SECRET_NAME = "BENCH_SECRET"
TOKEN_NAME = "BENCH_TOKEN"
ORGANIZATION = "org_1"
SOURCE = "pack-orders"
LINES = 30
BODY_BYTES = 1_024

CONFIG = """\
platforms:
  pack: {{kind: pack_cloud, base_url: "{stub}/v1", organization_id: org_1, token: {{env: BENCH_TOKEN}}}}
sources:
  pack-orders:
    platform: pack
    verify: {{scheme: hmac, header: X-Signature, algorithm: sha256, encoding: hex, secrets: [{{env: BENCH_SECRET}}]}}
    envelope: platform
rules: []
outbound: {{allow_private_hosts: [127.0.0.1]}}
"""

REFERENCE_RULE = """\
- id: short-receipt
  name: Received less than ordered
  type: purchase_order
  sort: 10
  events: [updated]
  sources: [pack-orders]
  when:
    all:
      - {field: status, op: eq, value: received}
      - {any_of: lines, where: {field: quantity_received, op: lt, ref: quantity_ordered}}
      - {field: total.value, op: gt, value: "100.00"}
      - {field: status, op: changed}
  actions:
    - {id: warn, do: log, level: warning, message: "{reference}: {quantity_missing} units missing"}
"""

MATCHING_RULE = """\
- id: short-receipt
  type: purchase_order
  when:
    all:
      - {field: status, op: eq, value: received}
      - {any_of: lines, where: {field: quantity_received, op: lt, ref: quantity_ordered}}
      - {field: total.value, op: gt, value: "100.00"}
  actions:
    - {id: claim, do: http, url: "SINK", body: {order: "{id}", missing: "{quantity_missing}"}}
"""

OTHER_RULE = """\
- id: other-NUMBER
  type: purchase_order
  when:
    all:
      - {field: status, op: eq, value: received}
      - {any_of: lines, where: {field: quantity_ordered, op: gt, value: NUMBER00}}
  actions:
    - {id: claim, do: http, url: "SINK", body: {order: "{id}"}}
"""


def ten_rules(sink: str) -> str:
    """Return one rule that matches and nine that check every line and do not match. `sink` is the URL of the effect."""
    others = "".join(OTHER_RULE.replace("NUMBER", str(number)) for number in range(1, 10))
    return (MATCHING_RULE + others).replace("SINK", sink)


def order_json(record_id: str, lines_count: int = LINES) -> bytes:
    """Return a purchase order in the format of pack.cloud. Every fifth line is short."""
    lines = [
        {
            "id": f"line-{number}",
            "product_id": f"product-{number}",
            "product": {"code": f"SKU-{number:05d}", "name": f"Product number {number}"},
            "price": {"value": "12.50", "currency": "EUR"},
            "quantity_ordered": 10,
            "quantity_received": 7 if number % 5 == 4 else 10,
        }
        for number in range(lines_count)
    ]
    return msgspec.json.encode({
        "id": record_id,
        "reference": "PO-2026-0001",
        "status": "received",
        "supplier": {"id": "supplier-1", "name": "Acme", "reference": "ACME"},
        "lines": lines,
        "created_at": "2026-03-01T10:00:00Z",
        "updated_at": "2026-03-02T10:00:00Z",
    })  # fmt: skip


def decoded_order(record_id: str, lines_count: int = LINES) -> PurchaseOrder:
    """Return the same order as a record."""
    raw: dict[str, Any] = msgspec.json.decode(order_json(record_id, lines_count))
    lines = tuple(
        Line(
            id=line["id"],
            product_id=line["product_id"],
            product_code=line["product"]["code"],
            price=Money(Decimal(line["price"]["value"]), "EUR"),
            quantity_ordered=line["quantity_ordered"],
            quantity_received=line["quantity_received"],
        )
        for line in raw["lines"]
    )
    supplier = Supplier(id="supplier-1", name="Acme")
    return PurchaseOrder(id=record_id, reference=raw["reference"], status="received", supplier=supplier, lines=lines)


def delivery_body(event_id: str, record_id: str) -> bytes:
    """Return a delivery of about 1 KB, as the platform sends it."""
    data = {"id": record_id, "updated_at": "2026-03-02T10:00:00Z", "note": ""}
    notice = {"event_code": "purchase_order.updated", "id": event_id, "organization_id": ORGANIZATION, "data": data}
    data["note"] = "n" * (BODY_BYTES - len(msgspec.json.encode(notice)))
    return msgspec.json.encode(notice)


def signed_request(path: str, body: bytes) -> bytes:
    """Return one signed HTTP request."""
    signature = hmac.digest(SECRET.encode(), body, hashlib.sha256).hex()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: bench\r\naccept: */*\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\nx-signature: {signature}\r\n\r\n"
    )
    return head.encode() + body


def signed_requests(path: str, run: str, count: int) -> Iterator[bytes]:
    """Yield `count` requests of different events and records. `run` prefixes the ids."""
    body = delivery_body(f"{run}-00000000", f"{run}-po-00000000")
    for number in range(count):
        yield signed_request(path, body.replace(b"00000000", b"%08d" % number))


def realistic_body(number: int) -> bytes:
    """Return a delivery of about 1 KB with the order itself: different ids, prices and times per `number`."""
    chance = hashlib.shake_256(str(number).encode()).hexdigest(400)
    order_id, supplier_id, *ids = (str(UUID(chance[at : at + 32])) for at in range(0, 256, 32))
    lines = [
        {"id": line_id, "code": f"SKU-{int(line_id[:4], 16):05d}", "ordered": int(line_id[4:6], 16), "received": 7,
         "price": {"value": f"{int(line_id[6:8], 16)}.50", "currency": "EUR"}}
        for line_id in ids[:5]
    ]  # fmt: skip
    order = {"id": order_id, "reference": f"PO-2026-{number:06d}", "status": "received", "supplier_id": supplier_id}
    moment = f"2026-03-02T10:{number % 60:02d}:{number // 60 % 60:02d}.{number:06d}Z"
    data = order | {"updated_at": moment, "lines": lines}
    return msgspec.json.encode(
        {"event_code": "purchase_order.updated", "id": ids[5], "occurred_at": moment, "data": data}
    )


def stored_event(number: int, body: bytes | None = None) -> Event:
    """Return an event as the ingress stores it, with a record of its own."""
    event_id, record_id = new_event_id(), f"po-{number:08d}"
    record = RecordRef("pack", "purchase_order", record_id)
    headers = {"content-type": "application/json", "user-agent": "bench"}
    traceparent = f"00-{event_id}-{event_id[16:]}-00"
    body = delivery_body(f"e-{number:08d}", record_id) if body is None else body
    name = "purchase_order.updated"
    return Event(EVENT_VERSION, event_id, SOURCE, name, "updated", record, None, headers, traceparent, body)
