"""Configuration of an account on Pexip Engage."""

from collections.abc import Mapping
from typing import ClassVar

from service.config.platforms import (
    BaseUrl,
    DocumentedValues,
    FieldPlaces,
    LimitCount,
    Paths,
    Slug,
)
from service.platforms.built_in_config import ExtensibleConfig
from service.platforms.pexip_engage.client import ENUMS, PLACES
from service.secrets import SecretRef


class PexipEngageConfig(ExtensibleConfig, frozen=True, kw_only=True, tag="pexip_engage"):
    """Enterprise on Pexip Engage. The documentation allows 4 requests at once and 3,000 a minute from one address.

    `token_url` defaults to the production realm of the enterprise. A webhook is tried three times within a minute; the
    documentation asks receivers to store event ids for a day.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"customer", "appointment", "callback_request"})
    hints: ClassVar[frozenset[str]] = frozenset({"appointment", "callback_request"})
    redelivery_hours: ClassVar[float | None] = 24.0
    listed: ClassVar[frozenset[str]] = frozenset({"customer"})
    places: ClassVar[Mapping[str, FieldPlaces]] = PLACES
    enums: ClassVar[Mapping[str, DocumentedValues]] = ENUMS
    retries_on_429: ClassVar[bool] = True

    enterprise: Slug
    client_id: SecretRef
    client_secret: SecretRef
    scope: str = "engage:customers:readOnly engage:appointments:readOnly engage:callbackRequests:readOnly"
    language: str = "en"
    base_url: BaseUrl = "https://api.pexipengage.com"
    token_url: BaseUrl | None = None
    paths: Paths = {}  # noqa: RUF012 - msgspec copies it
    requests_in_flight_max: LimitCount | None = 4
    requests_per_minute_max: LimitCount | None = 3_000
