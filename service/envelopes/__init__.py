"""How a delivery is read: which facts its body tells.

One file per kind of envelope; to add one, write its file and name it in the union below.
"""

from service.envelopes.challenge import Challenge
from service.envelopes.cloudevents import CloudEventsEnvelope
from service.envelopes.custom import CustomEnvelope
from service.envelopes.echo import ChallengeResponse
from service.envelopes.envelope import DeliveryParser, Envelope, ParseContext, ParsedDelivery
from service.envelopes.handshake import EndpointVerification, Handshake
from service.envelopes.platform import PlatformEnvelope
from service.envelopes.standard_webhooks import StandardWebhooksEnvelope

EnvelopeConfig = PlatformEnvelope | StandardWebhooksEnvelope | CloudEventsEnvelope | CustomEnvelope
"""What may stand under `envelope`, told apart by `kind`; a bare name is short for an object with that kind alone."""

__all__ = [
    "Challenge",
    "ChallengeResponse",
    "CloudEventsEnvelope",
    "CustomEnvelope",
    "DeliveryParser",
    "EndpointVerification",
    "Envelope",
    "EnvelopeConfig",
    "Handshake",
    "ParseContext",
    "ParsedDelivery",
    "PlatformEnvelope",
    "StandardWebhooksEnvelope",
]
