"""Configuration of an account on Flow Retail."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from service.config.platforms import BaseUrl, DocumentedValues, FieldPlaces, Paths, Uid
from service.platforms.built_in_config import ExtensibleConfig
from service.platforms.flow_retail.records import COMBINED, ENUMS, PLACES
from service.secrets import SecretRef


class FlowRetailConfig(ExtensibleConfig, frozen=True, kw_only=True, tag="flow_retail"):
    """Tenant of Flow Retail. Webhooks have no id, and two updates can have identical bodies.

    A webhook is tried ten times with growing intervals; the total time is not documented.
    """

    identical_bodies_default: ClassVar[Literal["same", "distinct"]] = "distinct"
    redelivery_hours: ClassVar[float | None] = 72.0
    listed: ClassVar[frozenset[str]] = frozenset({"purchase_order", "customer"})
    places: ClassVar[Mapping[str, FieldPlaces]] = PLACES
    combined: ClassVar[Mapping[str, Mapping[str, str]]] = COMBINED
    enums: ClassVar[Mapping[str, DocumentedValues]] = ENUMS
    wrapped: ClassVar[bool | None] = False

    tenant_uid: Uid
    store_uid: Uid | None = None
    token: SecretRef
    base_url: BaseUrl = "https://api.flowretail.com/v2"
    paths: Paths = {}  # noqa: RUF012 - msgspec copies it

    def listed_kinds(self) -> frozenset[str]:
        """Return the kinds that can be polled: purchase orders belong to a store, so they need `store_uid`."""
        kinds = super().listed_kinds()
        return kinds if self.store_uid is not None else kinds - {"purchase_order"}
