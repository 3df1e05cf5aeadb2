"""Envelopes: the formats that carry an event's metadata.

Each kind of envelope is one module. To add a kind, write its module and add its class to the union below.
"""

from service.envelopes.cloudevents import CloudEventsEnvelope
from service.envelopes.custom import CustomEnvelope
from service.envelopes.envelope import DeliveryParser, Envelope, ParseContext, ParsedDelivery
from service.envelopes.platform import PlatformEnvelope
from service.envelopes.standard_webhooks import StandardWebhooksEnvelope

EnvelopeConfig = PlatformEnvelope | StandardWebhooksEnvelope | CloudEventsEnvelope | CustomEnvelope
"""The type of the key `envelope`, distinguished by `kind`. A name alone is short for an object with that kind only."""

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
