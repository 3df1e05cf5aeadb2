"""Mock of Flow Retail."""

from http import HTTPStatus
from typing import Any

import msgspec

from service.mock.catalog import Catalog
from service.mock.http import Reply, Request, json_reply
from service.mock.platform import SECRET_REF, TOKEN_REF, ExtraRoute, MockPlatform, Query, RecordJson, StarterAccount
from service.mock.records import decode_object
from service.mock.routes import list_route, path_steps, record_route

PAGE_SIZE_DEFAULT = 25

_FLOW = "v2/tenants/*"


def _list_records(request: Request, query: Query, records: list[RecordJson], _: str) -> Reply:
    """List records in the requested order; a search filters by its body."""
    filters: RecordJson = msgspec.json.decode(request.body) if request.method == "POST" and request.body else {}
    external = query.get("customerExternalId")
    filters |= {"externalId": external[0]} if external else {}
    kept = [record for record in records if all(record.get(name) == value for name, value in filters.items())]
    sort_by = query.get("sortBy", [""])[0]
    if sort_by:
        descending = query.get("sortDirection", ["ASC"])[0] == "DESC"
        kept.sort(key=lambda record: str(record.get(sort_by, "")), reverse=descending)
    number, size = int(query.get("pageNumber", ["1"])[0]), int(query.get("pageSize", [str(PAGE_SIZE_DEFAULT)])[0])
    paging = {"pageNumber": number, "pageSize": size, "totalCount": len(kept)}
    return json_reply(200, {"items": kept[(number - 1) * size : number * size], "paging": paging})


def _change_extension(request: Request, catalog: Catalog) -> Reply | None:
    """Add an extension to a customer, or remove it."""
    if request.method not in {"POST", "DELETE"}:
        return None
    record_id, code, organization = request.segments[5], request.segments[7], request.segments[8]
    record = catalog.get("flow_retail", "customer", record_id)
    if record is None or code != "TWO_INVOICE":
        return Reply(HTTPStatus.NOT_FOUND, catalog.error("flow_retail", 404))
    customer = decode_object(record)
    extension = {"extensionCode": code, "organizationUid": organization}
    before: list[Any] = customer.get("extensions") or []
    others = [item for item in before if item != extension]
    customer["extensions"] = others + ([extension] if request.method == "POST" else [])
    catalog.put("flow_retail", "customer", record_id, customer)
    changed = catalog.get("flow_retail", "customer", record_id)
    return Reply(204) if request.method == "DELETE" or changed is None else Reply(200, changed)


MOCK = MockPlatform(
    starter=StarterAccount(
        {"tenant_uid": "T1", "token": TOKEN_REF},
        ("customer", "purchase_order"),
        {"scheme": "basic", "username": "waybill", "password": SECRET_REF},
    ),
    routes=(
        record_route("flow_retail", "customer", f"{_FLOW}/customers/{{id}}", "PUT", "PATCH", "DELETE"),
        record_route("flow_retail", "customer", f"{_FLOW}/stores/*/customers/{{id}}"),
        record_route("flow_retail", "purchase_order", f"{_FLOW}/stores/*/purchase-orders/{{id}}"),
        record_route("flow_retail", "tenant", "v2/tenants/{id}"),
    ),
    lists=(
        list_route("flow_retail", "customer", f"{_FLOW}/customers", creates=True),
        list_route("flow_retail", "customer", f"{_FLOW}/customers/search", asks=True),
        list_route("flow_retail", "customer", f"{_FLOW}/customers/search-external", asks=True),
        list_route("flow_retail", "purchase_order", f"{_FLOW}/stores/*/purchase-orders"),
    ),
    list_records=_list_records,
    base_path="/v2",
    id_keys={"customer": "customerUid", "purchase_order": "purchaseOrderUid", "tenant": "tenantUid"},
    extra=(ExtraRoute(path_steps("flow_retail", f"{_FLOW}/customers/{{id}}/extensions/*/*"), _change_extension),),
)
