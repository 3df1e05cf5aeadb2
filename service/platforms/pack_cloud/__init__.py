"""pack.cloud: purchase orders and customers of one organization."""

from service.platforms.kind import PlatformKind
from service.platforms.pack_cloud.client import PackCloudClient
from service.platforms.pack_cloud.config import PackCloudConfig
from service.platforms.pack_cloud.connector import PackCloud
from service.platforms.pack_cloud.records import read_customer, read_purchase_order

_CONFIGURATION = (
    "integration", "integration_action", "integration_settings", "rule_type", "rule", "rule_action", "rule_condition",
)  # fmt: skip
"""Objects whose names are not those of persons."""

PACK_CLOUD = PlatformKind(
    PackCloudConfig,
    PackCloud,
    PackCloudClient,
    readers={
        "purchase_order": lambda reply, _: read_purchase_order(reply),
        "customer": lambda reply, _: read_customer(reply),
    },
    sample_event="purchase_order.updated",
    sample_delivery=PackCloud.sample_delivery,
    shown_names={noun: frozenset({"name"}) for noun in _CONFIGURATION}
    | {noun: frozenset({"product.name"}) for noun in ("purchase_order", "purchase_order_line", "order")},
)
