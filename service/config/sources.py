"""Sources of waybill.yaml: verification, envelope, and polls."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from service.bodies.body_format import BodyFormat
from service.challenges.challenge import Challenge
from service.challenges.endpoint_verification import Handshake
from service.config.durations import Duration, duration_seconds
from service.envelopes import EnvelopeConfig, PlatformEnvelope
from service.signatures import SchemeConfig


class PollConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Poll: list the records of one kind periodically and ingest the changes.

    The first pass ingests no existing records, since they did not change. With `existing: ingest` it ingests all.
    """

    every: Duration
    record: str
    existing: Literal["ignore", "ingest"] = "ignore"

    @property
    def every_seconds(self) -> int:
        """The interval between passes in seconds."""
        return duration_seconds(self.every)


MediaType = Annotated[
    str,
    Meta(
        pattern=r"^(\*|[a-z0-9!#$&^_.+-]{1,80}/[a-z0-9!#$&^_.+-]{1,80})\Z",
        description="a media type in lower case such as text/plain, or * for any type and for none",
    ),
]

StoredHeader = Annotated[
    str,
    Meta(pattern=r"^[a-z0-9-]{1,64}\Z", description="the name of a header in lower case, such as x-shop-domain"),
]

SOURCE_NAME = r"^[a-z0-9][a-z0-9-]{0,63}\Z"
"""Pattern of source and account names, which are parts of URLs, lanes and log fields."""


class SourceConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One configured sender of deliveries.

    A source has `verify` to receive deliveries, `poll` to list records, or both. Then the poll ingests the misses.

    - `platform`: the account to fetch records from. Without it the events are of the kind `event`, nothing is fetched,
      and the name of the source takes the place of the account.
    - `preset`: a well-known sender, whose values are those of the fields that are not set.
    - `dedupe_hours`: the dedupe window. The default follows the platform.
    - `dedupe_by`: `id`, or `id_and_record` for a sender that uses one id for events of several records. Such events are
      not found by the sender's id.
    - `identical_bodies`: whether two deliveries without an id and with the same signed bytes are one event. The default
      follows the platform.
    - `failure_status`: the HTTP status for deliveries that cannot be verified, for senders that treat 401 specially.
    - `challenge`: the deliveries that only check the endpoint, and the challenge response.
    - `handshake`: the same for requests that are not deliveries.
    - `content_types`: media types accepted in addition to those of the `body`.
    - `body`: `json`, `form` (an object of its fields), or `{form: payload}` (a JSON document in that field).
    - `headers`: the headers of a delivery that events store in addition, for rules under `delivery.headers.`.
    - `success_status`, `success_body`: the answer to accepted deliveries, for senders that require a certain one.
    """

    platform: str = ""
    preset: str | None = None
    verify: SchemeConfig | None = None
    poll: PollConfig | None = None
    envelope: EnvelopeConfig = PlatformEnvelope()
    challenge: Challenge | None = None
    handshake: Handshake | None = None
    content_types: Annotated[tuple[MediaType, ...], Meta(max_length=10, description="a list of media types")] = ()
    dedupe_hours: (
        Annotated[float, Meta(gt=0, le=8_760, description="hours, more than 0 and at most a year (8760)")] | None
    ) = None
    dedupe_by: Literal["id", "id_and_record"] = "id"
    identical_bodies: Literal["same", "distinct"] | None = None
    body: BodyFormat = "json"
    headers: Annotated[tuple[StoredHeader, ...], Meta(max_length=10, description="at most 10 names of headers")] = ()
    success_status: Annotated[int, Meta(ge=200, le=299, description="an HTTP status of 200 to 299")] = 202
    success_body: Annotated[str, Meta(max_length=1_024, description="at most 1024 characters")] | None = None
    failure_status: Annotated[int, Meta(ge=400, le=599, description="an HTTP status of 400 to 599")] = 401
    allow_unverified: bool = False
