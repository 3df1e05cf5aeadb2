"""Deliveries like a captured one: the event id is replaced where the sender writes it, and nothing else."""

import json

import pytest
from msgspec import structs

from service.bodies.pointers import HeaderRef
from service.cli.repeated_delivery import repeat_delivery
from service.envelopes import CustomEnvelope, PlatformEnvelope
from service.envelopes.cloudevents import STRUCTURED
from service.envelopes.pointer_envelope import RecordPointers
from service.events import EVENT_VERSION, Event, RecordRef

NEW = "01a227c8660d7854b3a0704388149c9e"
EVENT = Event(
    EVENT_VERSION, "a" * 32, "shop", "order.paid", "updated", RecordRef("erp", "purchase_order", "7"), None,
    {"content-type": "application/json"}, None, b'{"id": "e1"}', sender_id="e1",
)  # fmt: skip


@pytest.mark.parametrize(
    ("sender_id", "body", "expected"),
    [
        (
            "e1",
            b'{"id": "e1", "e1": "xe1", "ref": "e1-a"}',
            f'{{"id": "{NEW}", "{NEW}": "xe1", "ref": "e1-a"}}'.encode(),
        ),
        ("12", b'{"id": 12, "n": 120, "at": 1.12, "x": 12.0}', b'{"id": %s, "n": 120, "at": 1.12, "x": 12.0}'),
        ("e1", b"id=e1&order=7", f"id={NEW}&order=7".encode()),
        ("7", b'{"id": "7"}', b'{"id": "7"}'),
    ],
    ids=["text", "number", "form", "id of the record"],
)
def test_the_event_id_is_replaced(sender_id: str, body: bytes, expected: bytes) -> None:
    event = structs.replace(EVENT, body=body, sender_id=sender_id)
    number = str(int(NEW, 16))[:18].encode()
    sent = repeat_delivery(event, PlatformEnvelope(), NEW, keep_id=False)
    assert sent.body == expected.replace(b"%s", number)
    assert repeat_delivery(event, PlatformEnvelope(), NEW, keep_id=True).body == body


def test_an_id_in_a_header_is_replaced() -> None:
    event = structs.replace(EVENT, headers={"ce-id": "e1", "ce-type": "order.paid"})
    assert repeat_delivery(event, PlatformEnvelope(), NEW, keep_id=False).headers == {
        "ce-id": NEW,
        "ce-type": "order.paid",
    }


def test_json_without_an_event_id_is_another_text_each_time_and_a_form_stays_the_same() -> None:
    event = structs.replace(EVENT, sender_id=None)
    bodies = {repeat_delivery(event, PlatformEnvelope(), new_id, keep_id=False).body for new_id in (NEW, "b" * 32)}
    assert len(bodies - {event.body}) == 2
    assert [json.loads(body) for body in bodies] == [json.loads(event.body)] * 2
    form = structs.replace(event, body=b"order=7")
    assert repeat_delivery(form, PlatformEnvelope(), NEW, keep_id=False).body == b"order=7"


def test_an_item_of_a_batch_is_sent_in_a_list_with_the_headers_that_the_envelope_reads() -> None:
    envelope = CustomEnvelope(
        type=HeaderRef(header="X-Topic"), each="/data/*/events", record=RecordPointers(kind="purchase_order", id="/id")
    )
    sent = repeat_delivery(EVENT, envelope, NEW, keep_id=True)
    assert json.loads(sent.body) == {"data": [{"events": [{"id": "e1"}]}]}
    assert sent.headers == {"content-type": "application/json", "x-topic": "order.paid"}
    batched = structs.replace(EVENT, headers={"content-type": "application/cloudevents-batch+json"})
    assert repeat_delivery(batched, PlatformEnvelope(), NEW, keep_id=True).headers == {"content-type": STRUCTURED}
