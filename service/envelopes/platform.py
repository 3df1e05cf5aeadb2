"""`envelope: platform`: the platform's connector reads its own deliveries."""

import msgspec

from service.envelopes.envelope import Desk, Envelope, Reader, Told
from service.envelopes.strict_json import NOT_JSON, check_body, read_children, unparsable
from service.events import Delivery


class PlatformEnvelope(Envelope, frozen=True, kw_only=True, tag="platform"):
    """Has no fields: what the body means is the connector's own knowledge."""

    def reader(self, desk: Desk) -> Reader:
        """See Envelope."""
        connector, depth_max = desk.connector, desk.depth_max

        def read(delivery: Delivery) -> Told:
            check_body(delivery.body, depth_max)
            # For keys that stand twice: the connector's decoder would take the last of them in silence.
            read_children(delivery.body)
            try:
                facts = connector.read(delivery)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise unparsable(NOT_JSON) from None
            return Told(facts, (delivery.body,) * len(facts))

        return read
