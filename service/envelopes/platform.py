"""`envelope: platform`: the platform's connector reads its own deliveries."""

import msgspec

from service.envelopes.envelope import Connector, Envelope, Reader
from service.envelopes.strict_json import NOT_JSON, read_children, unparsable
from service.events import Delivery, Fact


class PlatformEnvelope(Envelope, frozen=True, kw_only=True, tag="platform"):
    """Has no fields: what the body means is the connector's own knowledge."""

    def reader(self, connector: Connector) -> Reader:
        """See Envelope."""

        def read(delivery: Delivery) -> tuple[Fact, ...]:
            read_children(delivery.body)
            try:
                return connector.read(delivery)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise unparsable(NOT_JSON) from None

        return read
