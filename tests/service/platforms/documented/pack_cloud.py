"""pack.cloud: the pages "Get customer by id" and "Get purchase order by id", their navigation, and the related pages.

Keys of nested objects are inferred, since the pages do not print them.
"""

from typing import Any

from .table import TOKEN, Documentation, DocumentedRecord, Enumeration, Row

_AT = "2024-08-02T09:15:00.000000Z"
_TIMES = {"created_at": _AT, "updated_at": _AT}
_ADDRESS = {
    "id": "a-1", "company_name": "Large Company Ltd", "name": "John Doe", "address": "Straatweg",
    "address_2": "Second line", "house_number": "123A bus 2", "postal_code": "1234AB", "city": "Amsterdam",
    "state_code": "NH", "country_code": "NL", "email": "john@example.com", "phone": "020 1234567",
    "phone_e164": "+31201234567", "eori": "NL1", "oss": "NL2", "vat": "NL3", "type": "billing",
    "formatted_lines": "Straatweg 123A", **_TIMES,
}  # fmt: skip
CUSTOMER: dict[str, Any] = {
    "id": "c-1", "reference": "C-100", "billing_address": _ADDRESS, "shipping_address": _ADDRESS, "orders_count": 3,
    "return_requests_count": 1, "shipments_count": 2,
}  # fmt: skip
_MONEY = {"currency": "EUR", "value": "9.95"}
_PRODUCT = {
    "id": "p-1", "name": "Pencil - Orange", "brand_name": "General Pencils", "code": "PENCO204", "cost_price": _MONEY,
    "regular_price": _MONEY, "dimensions": {"height": 10, "length": 27.5, "width": 20, "unit": "cm"},
    "weight": {"value": 10, "unit": "g"}, "hs_code": 96091010, "country_code_of_origin": "CN",
    "description": "pencils", "quantity_allocated": 1, "quantity_on_hand": 2, "quantity_available": 1,
    "type": "standard", "barcodes": [{"id": "b-1", "barcode": "1234567890", "quantity": 1}],
    "media": [{"id": "m-1", "url": "https://x", "url_medium": "https://x", "url_thumb": "https://x"}], **_TIMES,
}  # fmt: skip
LINE: dict[str, Any] = {
    "id": "l-1", "purchase_order_id": "po-1", "product_id": "p-1", "price": _MONEY, "quantity_ordered": 10,
    "quantity_received": 4, "sell_ahead": 0, "product": _PRODUCT,
}  # fmt: skip
SCALARS: dict[str, Any] = {
    "id": "po-1", "supplier_id": "s-1", "reference": "ORD100123", "status": "expected", "updatable": True, **_TIMES,
}  # fmt: skip
ORDER: dict[str, Any] = {
    **SCALARS,
    "events": [
        {
            "id": "e-1", "code": "po.expected", "category": "info", "message": "Expected", "occurred_at": _AT,
            "creator": {"name": "Jane", "image": {"url": "https://x"}}, **_TIMES,
        }
    ],
    "lines": [LINE],
    "supplier": {
        "id": "s-1", "name": "ABC Wholesale", "reference": "6001234", "emails": ["a@example.com"], "remarks": "",
        **_TIMES,
    },
}  # fmt: skip
STATUSES = ("canceled", "created", "ordered", "expected", "receiving", "received", "completed")
INTEGRATION = {
    "id": "i-1", "category": "shop", "name": "Web shop", "order_sync_enabled": True, "order_sync_updated_at": None,
    "product_sync_enabled": False, "product_sync_updated_at": None, "stock_sync_enabled": True, **_TIMES,
}  # fmt: skip
RULE_TYPE: dict[str, Any] = {
    "code": "return_gatekeeper", "name": "Return gatekeeper",
    "actions": [{"code": "update_return_request_status", "name": "Update", "fields": [], "options": []}],
    "conditions": [{"code": "total_quantity_returned", "name": "Total", "operators": ["eq"], "type": "text"}],
}  # fmt: skip
RULE = {"id": "r-1", "name": "Hold", "enabled": True, "sort": 1, "type": "order", **_TIMES}
ACTION = {"id": "ra-1", "code": "hold", **_TIMES}
CONDITION = {"id": "rc-1", "code": "total_quantity_items_returned", "operator": "eq", "value": "10", **_TIMES}
WEBHOOK = {
    "id": "w-1", "event_code": "order.created", "endpoint": "https://hooks.example.com", "secret": "s3cret-s3cret",
    "enabled": True, **_TIMES,
}  # fmt: skip

_ROOT = "/organizations/org-1"
_INTEGRATION = f"{_ROOT}/integrations/i-1"
_I = {"integration": "i-1"}
_RULE = f"{_ROOT}/rules/r-1"
_R = {"rule": "r-1"}
_NEXT = "https://api.pack.cloud/v1/organizations/org-1/any?page=2&per_page=25"


def _listed(item: dict[str, Any]) -> dict[str, Any]:
    return {"data": [item], "links": {"prev": None, "next": _NEXT}, "meta": {"per_page": 25}}


def _list(operation: str, path: str, item: dict[str, Any], arguments: dict[str, str] | None = None) -> Row:
    more = "page=2&per_page=25"
    return Row(operation, "GET", path, arguments or {}, answer=_listed(item), items="data", next=more)


def _sync(what: str) -> Row:
    path = f"{_INTEGRATION}/sync/{what.replace('_', '-')}"
    return Row(f"integration.sync_{what}", "POST", path, _I, status=202)


DOCUMENT = Documentation(
    kind="pack_cloud",
    base_path="/v1",
    account={"organization_id": "org-1", "token": {"env": "TOKEN"}},
    headers={"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"},
    rows=(
        Row("customer.get", "GET", f"{_ROOT}/customers/c-1", {"customer": "c-1"}, answer=CUSTOMER),
        Row("purchase_order.get", "GET", f"{_ROOT}/purchase-orders/po-1", {"purchase_order": "po-1"}, answer=ORDER),
        Row(
            "purchase_order.list", "GET",
            f"{_ROOT}/purchase-orders?filter[status][]=created&filter[status][]=ordered&filter[supplier_id]=s-1"
            "&sort=created_at&per_page=25",
            {"statuses": "created,ordered", "supplier_id": "s-1", "sort": "created_at", "per_page": "25"},
            answer=_listed(SCALARS), items="data", next="page=2&per_page=25",
        ),
        Row(
            "purchase_order.create", "POST", f"{_ROOT}/purchase-orders",
            body={"supplier_id": "s-1", "reference": None, "lines": [{"product_id": "p-1", "quantity_ordered": 1}]},
            status=201, answer=ORDER,
        ),
        Row(
            "purchase_order_line.create", "POST", f"{_ROOT}/purchase-orders/po-1/lines", {"purchase_order": "po-1"},
            {"product_id": "p-1", "quantity_ordered": 1, "price": _MONEY, "sell_ahead": 1}, 201, LINE,
        ),
        Row(
            "purchase_order_line.get", "GET", f"{_ROOT}/purchase-orders/po-1/lines/l-1",
            {"purchase_order": "po-1", "line": "l-1"}, answer=LINE,
        ),
        Row(
            "purchase_order_line.update", "PUT", f"{_ROOT}/purchase-orders/po-1/lines/l-1",
            {"purchase_order": "po-1", "line": "l-1"}, {"quantity_ordered": 2}, 200, LINE,
        ),
        Row(
            "order.get", "GET", f"{_ROOT}/orders/o-1", {"order": "o-1"},
            answer={"id": "o-1", "customer_id": None, "status": "expected"},
        ),
        _list("integration.list", f"{_ROOT}/integrations", INTEGRATION),
        Row(
            "integration.create", "POST", f"{_ROOT}/integrations",
            body={"name": "Web shop", "connector_id": "c", "settings": {"a": 1}}, status=201, answer=INTEGRATION,
        ),
        Row("integration.get", "GET", _INTEGRATION, _I, answer=INTEGRATION),
        Row("integration.update", "PUT", _INTEGRATION, _I, {"stock_sync_enabled": False}, 200, INTEGRATION),
        Row("integration.delete", "DELETE", _INTEGRATION, _I, status=204),
        _list("integration_action.list", f"{_INTEGRATION}/actions", {"code": "import"}, _I),
        Row(
            "integration_action.execute", "POST", f"{_INTEGRATION}/actions/import/execute", {**_I, "action": "import"},
            {"since": "2026-01-01"}, 200, {"imported": 3},
        ),
        Row("integration_settings.get", "GET", f"{_INTEGRATION}/settings", _I, answer={"currency": "EUR"}),
        _sync("orders"), _sync("products"), _sync("shipping_services"), _sync("product_stocks"),
        _list("rule_type.list", f"{_ROOT}/rule-types", RULE_TYPE),
        Row(
            "rule_type.get", "GET", f"{_ROOT}/rule-types/return_gatekeeper", {"rule_type": "return_gatekeeper"},
            answer=RULE_TYPE,
        ),
        _list("rule.list", f"{_ROOT}/rules", RULE),
        Row("rule.create", "POST", f"{_ROOT}/rules", body={"name": "Hold", "type": "order"}, status=201, answer=RULE),
        Row("rule.get", "GET", _RULE, _R, answer=RULE),
        Row("rule.update", "PUT", _RULE, _R, {"name": "Hold", "enabled": True, "sort": 1}, 200, RULE),
        Row("rule.delete", "DELETE", _RULE, _R, status=204),
        _list("rule_action.list", f"{_RULE}/actions", ACTION, _R),
        Row("rule_action.create", "POST", f"{_RULE}/actions", _R, {"code": "hold"}, 201, ACTION),
        Row("rule_action.get", "GET", f"{_RULE}/actions/ra-1", {**_R, "action": "ra-1"}, answer=ACTION),
        Row("rule_action.update", "PUT", f"{_RULE}/actions/ra-1", {**_R, "action": "ra-1"}, {"code": "h"}, 200, ACTION),
        Row("rule_action.delete", "DELETE", f"{_RULE}/actions/ra-1", {**_R, "action": "ra-1"}, status=204),
        _list("rule_condition.list", f"{_RULE}/conditions", CONDITION, _R),
        Row(
            "rule_condition.create", "POST", f"{_RULE}/conditions", _R,
            {"code": "total_quantity_items_returned", "operator": "eq", "value": "10"}, 201, CONDITION,
        ),
        Row("rule_condition.get", "GET", f"{_RULE}/conditions/rc-1", {**_R, "condition": "rc-1"}, answer=CONDITION),
        Row(
            "rule_condition.update", "PUT", f"{_RULE}/conditions/rc-1", {**_R, "condition": "rc-1"},
            {"code": "c", "operator": "eq", "value": "1"}, 200, CONDITION,
        ),
        Row("rule_condition.delete", "DELETE", f"{_RULE}/conditions/rc-1", {**_R, "condition": "rc-1"}, status=204),
        _list("webhook.list", f"{_ROOT}/webhooks", WEBHOOK),
        Row(
            "webhook.create", "POST", f"{_ROOT}/webhooks",
            body={"event_code": "order.created", "endpoint": "https://hooks.example.com", "secret": "s3cret-s3cret"},
            status=201, answer=WEBHOOK,
        ),
        Row("webhook.get", "GET", f"{_ROOT}/webhooks/w-1", {"webhook": "w-1"}, answer=WEBHOOK),
        Row("webhook.update", "PUT", f"{_ROOT}/webhooks/w-1", {"webhook": "w-1"}, {"enabled": False}, 200, WEBHOOK),
    ),
    records={
        "customer": DocumentedRecord(
            "c-1", "customer.get",
            tuple(
                f"/{address}/{name}" for address in ("billing_address", "shipping_address") for name in (
                    "company_name", "name", "address_2", "house_number", "postal_code", "state_code", "email", "phone",
                    "phone_e164", "eori", "oss", "vat",
                )
            ),
        ),
        "purchase_order": DocumentedRecord(
            "po-1", "purchase_order.get",
            (
                "/reference", "/events/0/code", "/lines/0/product/brand_name", "/lines/0/product/code",
                "/lines/0/product/hs_code", "/lines/0/product/country_code_of_origin", "/lines/0/product/description",
            ),
        ),
    },
    enums=(
        Enumeration("purchase_order", "/status", STATUSES, "status"),
        Enumeration("purchase_order", "/events/0/category", ("error", "info", "tracking")),
        Enumeration("purchase_order", "/lines/0/product/type", ("standard", "virtual_bundle")),
        Enumeration("purchase_order", "/lines/0/product/dimensions/unit", ("cm",)),
        Enumeration("purchase_order", "/lines/0/product/weight/unit", ("g", "kg", "oz", "lbs")),
    ),
    error=lambda text: {"message": text, "errors": {"field": [text]}},
)  # fmt: skip
