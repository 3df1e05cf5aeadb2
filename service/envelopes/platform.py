"""`envelope: platform`: the platform's connector parses its own deliveries."""

import msgspec

from service.bodies.strict_json import NOT_JSON, check_body, invalid_json, read_children
from service.envelopes.envelope import DeliveryParser, Envelope, ParseContext, ParsedDelivery, too_many_events
from service.events import Delivery


class PlatformEnvelope(Envelope, frozen=True, kw_only=True, tag="platform"):
    """Envelope of the platform. It has no fields, since the connector knows the format."""

    def reader(self, context: ParseContext) -> DeliveryParser:
        """Build the parser for one source."""
        connector, depth_max = context.connector, context.depth_max

        def read(delivery: Delivery) -> ParsedDelivery:
            check_body(delivery.body, depth_max)
            # Reject duplicate keys: the connector's decoder would silently use the last one.
            read_children(delivery.body)
            try:
                facts = connector.read(delivery)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise invalid_json(NOT_JSON) from None
            if len(facts) > context.events_max:
                raise too_many_events(context.events_max, "in one delivery")
            return ParsedDelivery(facts, (delivery.body,) * len(facts))

        return read
