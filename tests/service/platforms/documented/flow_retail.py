"""Flow Retail: the page "Customer" with its ten operations, the vendor's page of external searches, and "Purchase"."""

from typing import Any

from .table import TOKEN, Documentation, DocumentedRecord, Enumeration, Row

CUSTOMER: dict[str, Any] = {
    "customerUid": "1000", "externalId": "ERP-77", "customerType": "COMPANY", "companyName": "Eksempel AS",
    "firstname": "Kari", "lastname": "Nordmann", "displayName": "Eksempel AS", "email": "kari@example.com",
    "mobile": "+4790000000", "address": "Storgata 1", "postalCode": "0155", "city": "Oslo", "countryCode": "NO",
    "vatNumber": "NO999999999", "ledgerNumber": "0001234", "pricelistUid": "pl-1", "loyaltyId": "L-42",
    "createdAt": "2025-07-30T18:12:05.623Z", "lastModifiedAt": "2025-07-30T18:12:05.623Z", "paymentTerms": 14,
    "extensions": [{"extensionCode": "TWO_INVOICE", "organizationUid": "org-1"}],
    "credit": {"limit": 5_000_000, "balance": 1_250_000}, "addresses": [],
}  # fmt: skip
ORDER: dict[str, Any] = {
    "purchaseOrderUid": "po-1", "externalId": "ERP-PO-1", "purchaseOrderStatus": "ORDERED",
    "createdAt": "2025-07-30T18:12:05.623Z", "lastModifiedAt": "2025-07-30T18:12:05.623Z",
    "items": [
        {
            "purchaseOrderItemUid": "i-1", "productUid": "p-1", "productName": "Pencil", "productSku": "SKU-1",
            "quantityOrdered": 300, "quantityReceived": 150, "unitPrice": 2_550,
        }
    ],
}  # fmt: skip
CHANGE = {"countryCode": "NO", "ledgerNumber": "0001234", "vatNumber": "NO9", "pricelistUid": "", "paymentTerms": 14}
_TENANT = "/tenants/T9"
_STORE = f"{_TENANT}/stores/S1"
_PAGING = "pageNumber=2&pageSize=1&sortBy=lastModifiedAt&sortDirection=DESC"
_PAGE = {"page_number": "2", "page_size": "1", "sort_by": "lastModifiedAt", "sort_direction": "DESC"}


def _listed(item: dict[str, Any]) -> dict[str, Any]:
    return {"items": [item], "paging": {"pageNumber": 2, "pageSize": 1, "totalCount": 3}}


DOCUMENT = Documentation(
    kind="flow_retail",
    base_path="/v2",
    account={"tenant_uid": "T9", "store_uid": "S1", "token": {"env": "TOKEN"}},
    headers={"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"},
    rows=(
        Row(
            "customer.list", "GET", f"{_TENANT}/customers?{_PAGING}&customerExternalId=ERP-77",
            {**_PAGE, "external_id": "ERP-77"}, answer=_listed(CUSTOMER), items="items", next="3",
        ),
        Row("customer.create", "POST", f"{_TENANT}/customers", body={"companyName": "Eksempel AS"}, answer=CUSTOMER),
        Row(
            "customer.search", "POST", f"{_TENANT}/customers/search?{_PAGING}",
            {**_PAGE, "criteria": '{"email": "x"}'}, {"email": "x"}, answer=_listed(CUSTOMER), items="items", next="3",
        ),
        Row(
            "customer.external_search", "POST", f"{_TENANT}/customers/search-external?{_PAGING}",
            {**_PAGE, "criteria": '{"email": "x"}'}, {"email": "x"}, answer=_listed(CUSTOMER), items="items", next="3",
        ),
        Row("customer.get", "GET", f"{_TENANT}/customers/1000", {"customer": "1000"}, answer=CUSTOMER),
        Row("customer.update", "PUT", f"{_TENANT}/customers/1000", {"customer": "1000"}, CHANGE, answer=CUSTOMER),
        Row("customer.delete", "DELETE", f"{_TENANT}/customers/1000", {"customer": "1000"}, status=204),
        Row(
            "extension.add", "POST", f"{_TENANT}/customers/1000/extensions/TWO_INVOICE/org-1",
            {"customer": "1000", "extension": "TWO_INVOICE", "organization": "org-1"}, answer=CUSTOMER,
            missing="invalid_argument",  # the customer exists, so the extension does not
        ),
        Row(
            "extension.delete", "DELETE", f"{_TENANT}/customers/1000/extensions/TWO_INVOICE/org-1",
            {"customer": "1000", "extension": "TWO_INVOICE", "organization": "org-1"}, status=204,
        ),
        Row("store_customer.get", "GET", f"{_STORE}/customers/1000", {"customer": "1000"}, answer=CUSTOMER),
        Row(
            "purchase_order.list", "GET",
            f"{_STORE}/purchase-orders?{_PAGING}&purchaseOrderStatus=A&purchaseOrderStatus=B",
            {**_PAGE, "statuses": "A,B"}, answer=_listed(ORDER), items="items", next="3",
        ),
        Row("purchase_order.get", "GET", f"{_STORE}/purchase-orders/po-1", {"purchase_order": "po-1"}, answer=ORDER),
        Row("tenant.get", "GET", _TENANT, answer={"tenantUid": "T9", "currency": "NOK"}),
    ),
    records={
        "customer": DocumentedRecord(
            "1000", "customer.get",
            tuple(f"/{name}" for name in CUSTOMER if name not in {"customerUid", "extensions", "addresses"}),
        ),
        "purchase_order": DocumentedRecord(
            "po-1", "purchase_order.get", ("/externalId", "/items/0/unitPrice", "/items/0/quantityReceived"),
        ),
    },
    enums=(Enumeration("customer", "/extensions/0/extensionCode", ("TWO_INVOICE",)),),
    error=lambda text: {"message": text},
)  # fmt: skip
