"""`envelope: platform`: the platform's connector reads its own deliveries."""

import msgspec

from service.envelopes.envelope import DeliveryParser, Envelope, ParseContext, ParsedDelivery
from service.envelopes.strict_json import NOT_JSON, check_body, invalid_json, read_children
from service.events import Delivery


class PlatformEnvelope(Envelope, frozen=True, kw_only=True, tag="platform"):
    """Has no fields: what the body means is the connector's own knowledge."""

    def reader(self, context: ParseContext) -> DeliveryParser:
        """See Envelope."""
        connector, depth_max = context.connector, context.depth_max

        def read(delivery: Delivery) -> ParsedDelivery:
            check_body(delivery.body, depth_max)
            # For keys that stand twice: the connector's decoder would take the last of them in silence.
            read_children(delivery.body)
            try:
                facts = connector.read(delivery)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise invalid_json(NOT_JSON) from None
            return ParsedDelivery(facts, (delivery.body,) * len(facts))

        return read
