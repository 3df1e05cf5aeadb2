"""Flow Retail: customers of one tenant and purchase orders of one of its stores."""

from service.platforms.flow_retail.client import FlowRetailClient
from service.platforms.flow_retail.config import FlowRetailConfig
from service.platforms.flow_retail.connector import FlowRetail
from service.platforms.flow_retail.records import read_customer, read_purchase_order
from service.platforms.kind import PlatformKind

NO_ID = "example"
"""The id of a recorded answer: answers of Flow Retail may state none."""

FLOW_RETAIL = PlatformKind(
    FlowRetailConfig,
    FlowRetail,
    FlowRetailClient,
    readers={
        "purchase_order": lambda reply, recorded: read_purchase_order(reply, NO_ID, recorded.currency),
        "customer": lambda reply, recorded: read_customer(reply, NO_ID, recorded.currency),
    },
    sample_event="CUSTOMER_UPDATE",
    sample_delivery=FlowRetail.sample_delivery,
    shown_names={"tenant": frozenset({"name"})},
)
