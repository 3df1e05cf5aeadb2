"""Pexip Engage: customers of one enterprise."""

from service.platforms.kind import PlatformKind
from service.platforms.pexip_engage.client import CUSTOMER, PexipEngageClient
from service.platforms.pexip_engage.config import PexipEngageConfig
from service.platforms.pexip_engage.connector import PexipEngage

PEXIP_ENGAGE = PlatformKind(
    PexipEngageConfig,
    PexipEngage,
    PexipEngageClient,
    readers={"customer": lambda reply, _: CUSTOMER.read(reply)},
    sample_event="Appointment.update",
    sample_delivery=PexipEngage.sample_delivery,
)
