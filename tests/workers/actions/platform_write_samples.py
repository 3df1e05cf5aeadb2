"""One example of each write on a platform: the words of the action, and the call that has to come of them."""

from typing import Any

from msgspec import Struct

PACK = "/organizations/org_1/integrations"
FLOW = "/tenants/T1/customers"
OFN = "/api/v1/customers"


class Call(Struct, frozen=True):
    """The words of an action on `account`, and the request for a record `po_1` of which `reference` is `PO-1`."""

    account: str
    words: dict[str, Any]
    method: str
    path: str
    body: Any = None


SYNC = {"integration": "i/{id}"}
EXTENSION = {"customer": "{id}", "extension": "TWO_INVOICE", "organization": "o1"}
CUSTOMER = {"enterprise_id": 7, "email": "{reference}@example.org", "first_name": "{supplier.reference}", "tags": ["a"]}

CALLS: dict[str, Call] = {
    "pack_cloud_execute_integration_action": Call(
        "pack", {"integration": "i1", "action": "{reference}", "values": {"order": "{id}", "n": 3}},
        "POST", f"{PACK}/i1/actions/PO-1/execute", {"order": "po_1", "n": 3},
    ),
    "pack_cloud_sync_integration_orders": Call("pack", SYNC, "POST", f"{PACK}/i%2Fpo_1/sync/orders"),
    "pack_cloud_sync_integration_products": Call("pack", SYNC, "POST", f"{PACK}/i%2Fpo_1/sync/products"),
    "pack_cloud_sync_integration_shipping_services": Call(
        "pack", SYNC, "POST", f"{PACK}/i%2Fpo_1/sync/shipping-services"
    ),
    "pack_cloud_sync_integration_product_stocks": Call("pack", SYNC, "POST", f"{PACK}/i%2Fpo_1/sync/product-stocks"),
    "pack_cloud_create_integration": Call(
        "pack", {"new": {"name": "for {reference}", "connector_id": "c1", "settings": {"id": "{id}"}}},
        "POST", PACK, {"name": "for PO-1", "connector_id": "c1", "settings": {"id": "po_1"}},
    ),
    "pack_cloud_update_integration": Call(
        "pack", {"integration": "i1", "change": {"order_sync_enabled": False}},
        "PUT", f"{PACK}/i1", {"order_sync_enabled": False},
    ),
    "pack_cloud_delete_integration": Call("pack", {"integration": "i1"}, "DELETE", f"{PACK}/i1"),
    "open_food_network_create_customer": Call(
        "ofn", {"customer": CUSTOMER}, "POST", OFN, {"enterprise_id": 7, "email": "PO-1@example.org", "tags": ["a"]},
    ),
    "open_food_network_update_customer": Call(
        "ofn", {"customer": "{id}", "change": {"enterprise_id": 7, "email": "a@example.org", "billing_address": None}},
        "PUT", f"{OFN}/po_1", {"enterprise_id": 7, "email": "a@example.org", "billing_address": None},
    ),
    "open_food_network_delete_customer": Call("ofn", {"customer": "{id}"}, "DELETE", f"{OFN}/po_1"),
    "flow_retail_create_customer": Call(
        "flow", {"new": {"externalId": "{reference}", "paymentTerms": 14}},
        "POST", FLOW, {"externalId": "PO-1", "paymentTerms": 14},
    ),
    "flow_retail_update_customer": Call(
        "flow", {"customer": "{id}", "change": {"internalNote": "{supplier.name}"}},
        "PUT", f"{FLOW}/po_1", {"internalNote": "Acme"},
    ),
    "flow_retail_delete_customer": Call("flow", {"customer": "{id}"}, "DELETE", f"{FLOW}/po_1"),
    "flow_retail_add_extension": Call("flow", EXTENSION, "POST", f"{FLOW}/po_1/extensions/TWO_INVOICE/o1"),
    "flow_retail_delete_extension": Call("flow", EXTENSION, "DELETE", f"{FLOW}/po_1/extensions/TWO_INVOICE/o1"),
}  # fmt: skip
