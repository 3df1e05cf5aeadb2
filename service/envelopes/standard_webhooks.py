"""`envelope: standard_webhooks`: the payload that the Standard Webhooks specification asks for: type, timestamp, data.

The id is no part of it: it stands in the signed header `webhook-id`, and the scheme of that name tells it.
"""

from service.envelopes.envelope import Desk, Reader, Told, alone
from service.envelopes.pointed import FactWriter, Parts, PointedEnvelope, RecordDetour
from service.envelopes.strict_json import check_body
from service.events import Delivery

RECORD = "/data/id"


class StandardWebhooksEnvelope(PointedEnvelope, frozen=True, kw_only=True, tag="standard_webhooks"):
    """Without fields it reads `{"type": "customer.updated", "timestamp": …, "data": {"id": …}}`."""

    record: RecordDetour = RecordDetour()

    def reader(self, desk: Desk) -> Reader:
        """See Envelope."""
        place = self.record
        parts = Parts(
            id=None,
            type="/type",
            moment="/timestamp",
            record=place.id or RECORD,
            kind=place.kind,
            kinds=place.kinds,
        )
        writer = FactWriter(self, parts, desk)

        def read(delivery: Delivery) -> Told:
            body, found = delivery.body, dict[str, bytes]()
            check_body(body, desk.depth_max)
            writer.walk.collect(body, found)
            return alone(writer.write(writer.text("type", found), found), body)

        return read
