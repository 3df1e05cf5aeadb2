"""The sources of waybill.yaml: who may send, how it is proven, and how what is sent is read."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from service.config.polls import PollConfig
from service.envelopes import Challenge, EnvelopeConfig, Handshake, PlatformEnvelope
from service.signatures import SchemeConfig

MediaType = Annotated[
    str,
    Meta(
        pattern=r"^(\*|[a-z0-9!#$&^_.+-]{1,80}/[a-z0-9!#$&^_.+-]{1,80})\Z",
        description="a media type in lower case such as text/plain, or * for any and for none",
    ),
]

SOURCE_NAME = r"^[a-z0-9][a-z0-9-]{0,63}\Z"
"""Source names stand in URLs, account names in lanes and log fields: one form for both."""


class SourceConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One configured sender.

    `dedupe_hours` is how long a repeated delivery is known as one; `identical_bodies` says whether two deliveries
    without an id and with the same signed bytes are one event. Left out, both follow the platform. `failure_status` is
    what a delivery is answered that cannot be verified, for senders that do something of their own on 401. `challenge`
    says which deliveries only ask whether the address is ours, and what to say back; `handshake` the same of requests
    that ask without one. `content_types` are taken besides those of JSON, for senders that give theirs another name.

    A source has `verify`, since it is sent to, or `poll`, since it asks by itself, or both: then the poll takes in
    what no delivery told.
    """

    platform: str
    verify: SchemeConfig | None = None
    poll: PollConfig | None = None
    envelope: EnvelopeConfig = PlatformEnvelope()
    challenge: Challenge | None = None
    handshake: Handshake | None = None
    content_types: Annotated[tuple[MediaType, ...], Meta(max_length=10, description="a list of media types")] = ()
    dedupe_hours: (
        Annotated[float, Meta(gt=0, le=8_760, description="hours, more than 0 and at most a year (8760)")] | None
    ) = None
    identical_bodies: Literal["same", "distinct"] | None = None
    failure_status: Annotated[int, Meta(ge=400, le=599, description="an HTTP status of 400 to 599")] = 401
    allow_unverified: bool = False
