"""`envelope: standard_webhooks`: the payload that the Standard Webhooks specification asks for: type, timestamp, data.

The id is no part of it: it stands in the signed header `webhook-id`, and the scheme of that name tells it.
"""

from service.envelopes.envelope import DeliveryParser, ParseContext, ParsedDelivery, single_fact
from service.envelopes.pointer_envelope import EventPointers, FactBuilder, PointerEnvelope, RecordOverride
from service.envelopes.strict_json import check_body
from service.events import Delivery

RECORD = "/data/id"


class StandardWebhooksEnvelope(PointerEnvelope, frozen=True, kw_only=True, tag="standard_webhooks"):
    """Without fields it reads `{"type": "customer.updated", "timestamp": …, "data": {"id": …}}`."""

    record: RecordOverride = RecordOverride()

    def reader(self, context: ParseContext) -> DeliveryParser:
        """See Envelope."""
        place = self.record
        parts = EventPointers(
            id=None,
            type="/type",
            moment="/timestamp",
            record=place.id or RECORD,
            kind=place.kind,
            kinds=place.kinds,
        )
        writer = FactBuilder(self, parts, context)

        def read(delivery: Delivery) -> ParsedDelivery:
            body, found = delivery.body, dict[str, bytes]()
            check_body(body, context.depth_max)
            writer.walk.extract(body, found)
            return single_fact(writer.build(writer.text("type", found), found), body)

        return read
