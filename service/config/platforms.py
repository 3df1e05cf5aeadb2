"""The platforms of waybill.yaml: one struct per kind, told apart by `kind`, with all that its connector is built from.

To add a platform: its struct here, and its line in the union at the end.
"""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from service.envelopes.pointers import Pointer
from service.secrets import SecretRef

BaseUrl = Annotated[
    str,
    Meta(
        pattern=r"^https?://[A-Za-z0-9._~\[\]:-]+(/[^\s?#]*)?\Z",
        description="an http or https URL without user, query or fragment, such as https://api.example.com/v1",
    ),
]
HeaderName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}\Z", description="an HTTP header name such as X-Api-Key")
]
Uid = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,200}\Z", description="the id as the platform shows it")]
Slug = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,100}\Z", description="the short name in the platform's URLs")]
LimitCount = Annotated[int, Meta(ge=1, le=100_000, description="a whole number of at least 1")]


Path = Annotated[
    str,
    Meta(
        pattern=r"^((GET|POST|PUT|PATCH|DELETE) )?/[^\s#]*\Z",
        description='a path below base_url, with a method in front where that differs: "PATCH /customers/{customer}"',
    ),
]
Paths = dict[str, Path]
"""Paths by operation, for those that no page of the platform prints; see `service.platforms.api.operations`."""
Status = Annotated[int, Meta(ge=400, le=599, description="an HTTP status of 400 to 599")]


class Account(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What every configured account on a platform has. The two limits are shared by all workers; None is no limit.

    `fetch_delay_seconds` is for a platform that announces a change before it shows it and has no version to tell by.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"purchase_order", "customer"})
    """The kinds of record and hint that its connector knows."""
    redelivery_hours: ClassVar[float | None] = None
    """How long the platform may send an event again; None where nobody but the operator can know."""
    listed: ClassVar[frozenset[str]] = frozenset()
    """The kinds of record that its API lists, so that they can be polled."""
    identical_bodies_default: ClassVar[Literal["same", "distinct"]] = "same"
    retries_on_429: ClassVar[bool] = False
    """Whether its deliveries come again after a 429; where that is not known, as where it is final, they get a 503."""

    requests_in_flight_max: LimitCount | None = None
    requests_per_minute_max: LimitCount | None = None
    fetch_delay_seconds: Annotated[
        float, Meta(ge=0, le=600, description="seconds an event waits before its record is fetched, at most 600")
    ] = 0.0


class PackCloudConfig(Account, frozen=True, kw_only=True, tag="pack_cloud"):
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
    paths: Paths = {}
    status_filter: Literal["repeated", "comma"] = "repeated"


class PexipEngageConfig(Account, frozen=True, kw_only=True, tag="pexip_engage"):
    """Pexip Engage. Its documentation allows 4 requests at once and 3,000 a minute from one address.

    `token_url` left out is the production realm of the enterprise. A webhook is tried three times within a minute; a
    day of ids is what its documentation asks receivers to keep.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"customer", "appointment", "callback_request"})
    redelivery_hours: ClassVar[float | None] = 24.0
    listed: ClassVar[frozenset[str]] = frozenset({"customer"})
    retries_on_429: ClassVar[bool] = True

    enterprise: Slug
    client_id: SecretRef
    client_secret: SecretRef
    scope: str = "engage:customers:readOnly engage:appointments:readOnly engage:callbackRequests:readOnly"
    language: str = "en"
    base_url: BaseUrl = "https://api.pexipengage.com"
    token_url: BaseUrl | None = None
    paths: Paths = {}
    requests_in_flight_max: LimitCount | None = 4
    requests_per_minute_max: LimitCount | None = 3_000


class OpenFoodNetworkConfig(Account, frozen=True, kw_only=True, tag="open_food_network"):
    """One instance of Open Food Network. A webhook is tried again 25 times over about 20 days (Sidekiq's default)."""

    kinds: ClassVar[frozenset[str]] = frozenset({"customer", "order"})
    listed: ClassVar[frozenset[str]] = frozenset({"customer"})
    redelivery_hours: ClassVar[float | None] = 21 * 24.0
    retries_on_429: ClassVar[bool] = True

    base_url: BaseUrl
    token: SecretRef


class FlowRetailConfig(Account, frozen=True, kw_only=True, tag="flow_retail"):
    """One tenant of Flow Retail. Its webhooks carry no id, and two real updates can be identical byte for byte.

    A webhook is tried again ten times, further and further apart; over how long is not documented.
    """

    identical_bodies_default: ClassVar[Literal["same", "distinct"]] = "distinct"
    redelivery_hours: ClassVar[float | None] = 72.0
    listed: ClassVar[frozenset[str]] = frozenset({"purchase_order", "customer"})

    tenant_uid: Uid
    store_uid: Uid | None = None
    token: SecretRef
    base_url: BaseUrl = "https://api.flowretail.com/v2"
    paths: Paths = {}


class BearerAuth(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="bearer"):
    """`Authorization: Bearer <token>`."""

    token: SecretRef


class HeaderAuth(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="header"):
    """Any header with a secret value."""

    name: HeaderName
    value: SecretRef


class BasicAuth(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="basic"):
    """HTTP Basic (RFC 7617)."""

    username: str
    password: SecretRef


class ClientCredentialsAuth(
    Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="oauth2_client_credentials"
):
    """A bearer token fetched with client id and secret (RFC 6749, section 4.4)."""

    token_url: BaseUrl
    client_id: SecretRef
    client_secret: SecretRef
    scope: str | None = None


class NoAuth(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="none"):
    """The API asks for nothing."""


Auth = BearerAuth | HeaderAuth | BasicAuth | ClientCredentialsAuth | NoAuth


class CustomListConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where records of a kind are listed, for polls: `path` may hold `{page}`, counted from 1, or `{cursor}`.

    `at` points to the list in the answer; its items are read with the record's `map`. `next` says how there is a next
    page: `page` until one is empty, `link` as the Link header has it (RFC 8288), or a pointer to the next page's URL or
    cursor. `newest_first` promises that what changed last stands first, so that a poll may stop early.
    """

    path: Annotated[str, Meta(pattern=r"^/[^\s#]*\Z", description='a path such as "/orders?page={page}"')]
    at: Pointer = ""
    next: Annotated[
        str, Meta(pattern=r"^(none|page|link|/.*)\Z", description="page, link, none, or a pointer such as /meta/next")
    ] = "none"
    newest_first: bool = False


class CustomErrorsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Statuses that mean something of their own on this system: that waiting mends, or that the record is gone."""

    transient: tuple[Status, ...] = ()
    gone: tuple[Status, ...] = ()


class CustomRecordConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a kind of record is fetched and how its fields are found.

    `path` is appended to base_url, `{id}` in it is the record's id. `at` points to the record in the answer; `map`
    gives a field of ours its place below that; `service.platforms.custom.field_map` says what its keys may be.
    """

    path: Annotated[
        str, Meta(pattern=r"^/[^\s#]*\{id\}[^\s#]*\Z", description='a path with {id} in it, such as "/orders/{id}"')
    ]
    at: Pointer = ""
    map: dict[str, Pointer] = {}
    list: CustomListConfig | None = None


class CustomConfig(Account, frozen=True, kw_only=True, tag="custom"):
    """Any other system that answers JSON over HTTP."""

    base_url: BaseUrl
    auth: Auth
    records: dict[str, CustomRecordConfig]
    errors: CustomErrorsConfig = CustomErrorsConfig()


PlatformConfig = PackCloudConfig | PexipEngageConfig | OpenFoodNetworkConfig | FlowRetailConfig | CustomConfig


def listed_kinds(platform: PlatformConfig) -> frozenset[str]:
    """Give the kinds of record that an account's connector can list, and so poll."""
    if isinstance(platform, CustomConfig):
        return frozenset(kind for kind, record in platform.records.items() if record.list is not None)
    without_store = isinstance(platform, FlowRetailConfig) and platform.store_uid is None
    return platform.listed - {"purchase_order"} if without_store else platform.listed


def known_kinds(platform: PlatformConfig) -> frozenset[str]:
    """Give the kinds of record and hint that an account's connector can be asked for."""
    return frozenset(platform.records) if isinstance(platform, CustomConfig) else platform.kinds
