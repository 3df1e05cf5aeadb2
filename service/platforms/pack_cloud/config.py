"""Configuration of an account on pack.cloud."""

from typing import ClassVar, Literal

from service.config.platforms import BaseUrl, HeaderName, Paths, PlatformConfig, Uid
from service.secrets import SecretRef


class PackCloudConfig(PlatformConfig, frozen=True, kw_only=True, tag="pack_cloud"):
    """pack.cloud, organization scope. How it is authorized is not public, so header and prefix can be set.

    Nor is how its list takes several statuses: `filter[status][]=` for each, or `comma` between them.
    Its retries are not either: three days are what the longest of the well-known senders take.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"purchase_order", "customer", "order"})
    redelivery_hours: ClassVar[float | None] = 72.0
    listed: ClassVar[frozenset[str]] = frozenset({"purchase_order"})

    organization_id: Uid
    token: SecretRef
    token_header: HeaderName = "Authorization"  # noqa: S105 - the header's name, no secret
    token_prefix: str = "Bearer "  # noqa: S105 - the scheme's name, no secret
    base_url: BaseUrl = "https://api.pack.cloud/v1"
    paths: Paths = {}  # noqa: RUF012 - msgspec copies it
    status_filter: Literal["repeated", "comma"] = "repeated"
