"""Sources of waybill.yaml: verification, envelope, and polls."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from service.challenges.challenge import Challenge
from service.challenges.endpoint_verification import Handshake
from service.envelopes import EnvelopeConfig, PlatformEnvelope
from service.signatures import SchemeConfig

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class PollConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """List the platform's records of a kind every so often, and take in what changed.

    The first pass only looks, since what is there already did not change; `existing: ingest` takes all of it in.
    """

    every: Annotated[
        str, Meta(pattern=r"^[1-9][0-9]{0,5}[smhd]\Z", description="a number with s, m, h or d behind it, such as 5m")
    ]
    record: Literal["purchase_order", "customer"]
    existing: Literal["ignore", "ingest"] = "ignore"

    @property
    def every_seconds(self) -> int:
        """How long after a pass the next one may begin."""
        return int(self.every[:-1]) * _SECONDS[self.every[-1]]


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
