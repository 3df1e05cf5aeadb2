"""pack.cloud: purchase orders and customers of one organization."""

from service.platforms.kind import PlatformKind
from service.platforms.pack_cloud.client import PackCloudClient
from service.platforms.pack_cloud.config import PackCloudConfig
from service.platforms.pack_cloud.connector import PackCloud, sample_delivery
from service.platforms.pack_cloud.records import read_customer, read_purchase_order

PACK_CLOUD = PlatformKind(
    PackCloudConfig,
    PackCloud,
    PackCloudClient,
    readers={
        "purchase_order": lambda reply, _: read_purchase_order(reply),
        "customer": lambda reply, _: read_customer(reply),
    },
    sample_event="purchase_order.updated",
    sample_delivery=sample_delivery,
)
