"""Envelopes: the formats that carry an event's metadata.

One module per kind of envelope. To add one, write its module and name it in the union below.
"""

from service.envelopes.cloudevents import CloudEventsEnvelope
from service.envelopes.custom import CustomEnvelope
from service.envelopes.envelope import DeliveryParser, Envelope, ParseContext, ParsedDelivery
from service.envelopes.platform import PlatformEnvelope
from service.envelopes.standard_webhooks import StandardWebhooksEnvelope

EnvelopeConfig = PlatformEnvelope | StandardWebhooksEnvelope | CloudEventsEnvelope | CustomEnvelope
"""What may stand under `envelope`, told apart by `kind`; a bare name is short for an object with that kind alone."""

__all__ = [
    "CloudEventsEnvelope",
    "CustomEnvelope",
    "DeliveryParser",
    "Envelope",
    "EnvelopeConfig",
    "ParseContext",
    "ParsedDelivery",
    "PlatformEnvelope",
    "StandardWebhooksEnvelope",
]
