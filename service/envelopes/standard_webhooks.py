"""`envelope: standard_webhooks`: the payload of the Standard Webhooks specification: type, timestamp, data.

The payload has no id. The id is in the signed header `webhook-id`, and the scheme `standard_webhooks` returns it.
"""

from service.bodies.strict_json import check_body
from service.envelopes.envelope import DeliveryParser, ParseContext, ParsedDelivery, single_fact
from service.envelopes.pointer_envelope import EventPointers, FactBuilder, PointerEnvelope, RecordOverride
from service.events import Delivery

RECORD = "/data/id"


class StandardWebhooksEnvelope(PointerEnvelope, frozen=True, kw_only=True, tag="standard_webhooks"):
    """Standard Webhooks: the default is `{"type": "customer.updated", "timestamp": …, "data": {"id": …}}`."""

    record: RecordOverride = RecordOverride()

    def reader(self, context: ParseContext) -> DeliveryParser:
        """Build the parser for one source."""
        pointers = EventPointers(
            id=None,
            type="/type",
            occurred_at="/timestamp",
            record=self.record.id or RECORD,
            kind=self.record.kind,
            kinds=self.record.kinds,
        )
        builder = FactBuilder(self, pointers, context)

        def read(delivery: Delivery) -> ParsedDelivery:
            body, found = delivery.body, dict[str, bytes]()
            check_body(body, context.depth_max)
            builder.tree.extract(body, found)
            return single_fact(builder.build(builder.text("type", found), found), body)

        return read
