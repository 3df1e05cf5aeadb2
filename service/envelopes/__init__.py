"""How a delivery is read: which facts its body tells.

One file per kind of envelope; to add one, write its file and name it in the union below.
"""

from service.envelopes.challenge import Challenge
from service.envelopes.cloudevents import CloudEventsEnvelope
from service.envelopes.custom import CustomEnvelope
from service.envelopes.echo import Echo
from service.envelopes.envelope import Desk, Envelope, Reader, Told
from service.envelopes.handshake import Asked, Handshake
from service.envelopes.platform import PlatformEnvelope
from service.envelopes.standard_webhooks import StandardWebhooksEnvelope

EnvelopeConfig = PlatformEnvelope | StandardWebhooksEnvelope | CloudEventsEnvelope | CustomEnvelope
"""What may stand under `envelope`, told apart by `kind`; a bare name is short for an object with that kind alone."""

__all__ = [
    "Asked",
    "Challenge",
    "CloudEventsEnvelope",
    "CustomEnvelope",
    "Desk",
    "Echo",
    "Envelope",
    "EnvelopeConfig",
    "Handshake",
    "PlatformEnvelope",
    "Reader",
    "StandardWebhooksEnvelope",
    "Told",
]
