"""Configuration of an account on pack.cloud."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from service.config.platforms import (
    BaseUrl,
    DocumentedValues,
    FieldPlaces,
    HeaderName,
    Paths,
    Uid,
)
from service.platforms.built_in_config import ExtensibleConfig
from service.platforms.pack_cloud.records import COMBINED, ENUMS, PLACES
from service.secrets import SecretRef


class PackCloudConfig(ExtensibleConfig, frozen=True, kw_only=True, tag="pack_cloud"):
    """Organization on pack.cloud. The authorization is not documented, so header and prefix of the token can be set.

    `status_filter` is the notation of several statuses: `repeated` (`filter[status][]=` for each) or `comma`.
    Redelivery is not documented: three days are the longest period of well-known senders.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"purchase_order", "customer", "order"})
    hints: ClassVar[frozenset[str]] = frozenset({"order"})
    redelivery_hours: ClassVar[float | None] = 72.0
    listed: ClassVar[frozenset[str]] = frozenset({"purchase_order"})
    places: ClassVar[Mapping[str, FieldPlaces]] = PLACES
    combined: ClassVar[Mapping[str, Mapping[str, str]]] = COMBINED
    enums: ClassVar[Mapping[str, DocumentedValues]] = ENUMS
    wrapped: ClassVar[bool | None] = None

    organization_id: Uid
    token: SecretRef
    token_header: HeaderName = "Authorization"  # noqa: S105 - the header's name, no secret
    token_prefix: str = "Bearer "  # noqa: S105 - the scheme's name, no secret
    base_url: BaseUrl = "https://api.pack.cloud/v1"
    paths: Paths = {}  # noqa: RUF012 - msgspec copies it
    status_filter: Literal["repeated", "comma"] = "repeated"
