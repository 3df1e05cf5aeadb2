"""How a delivery is read: which facts its body tells.

One file per kind of envelope; to add one, write its file and name it in the union below.
"""

from service.envelopes.custom import CustomEnvelope
from service.envelopes.envelope import Connector, Desk, Envelope, Reader, Told
from service.envelopes.platform import PlatformEnvelope

EnvelopeConfig = PlatformEnvelope | CustomEnvelope
"""What may stand under `envelope`, told apart by `kind`; a bare name is short for an object with that kind alone."""

__all__ = [
    "Connector",
    "CustomEnvelope",
    "Desk",
    "Envelope",
    "EnvelopeConfig",
    "PlatformEnvelope",
    "Reader",
    "Told",
]
