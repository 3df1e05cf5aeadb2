"""Mock of pack.cloud."""

from functools import partial
from urllib.parse import urlencode

from service.mock.catalog import Catalog
from service.mock.http import Reply, Request, json_reply
from service.mock.platform import SECRET_REF, TOKEN_REF, ExtraRoute, MockPlatform, Query, RecordJson, StarterAccount
from service.mock.records import create_record
from service.mock.routes import list_route, path_steps, record_route

PER_PAGE_DEFAULT = 25

_PACK = "v1/organizations/*"
_INTEGRATION, _RULE = f"{_PACK}/integrations", f"{_PACK}/rules"
_ASYNC_PATHS = ("actions/*/execute", "sync/orders", "sync/products", "sync/shipping-services", "sync/product-stocks")


def _list_records(request: Request, query: Query, records: list[RecordJson], _: str) -> Reply:
    """List records newest first, with scalars only, in pages with an opaque cursor."""
    statuses = query.get("filter[status][]") or (
        query["filter[status]"][0].split(",") if "filter[status]" in query else None
    )
    kept = [record for record in records if statuses is None or record.get("status") in statuses]
    sort = query.get("sort", ["-created_at"])[0]
    kept.sort(key=lambda record: str(record.get("created_at", "")), reverse=sort.startswith("-"))
    size, at = int(query.get("per_page", [str(PER_PAGE_DEFAULT)])[0]), int(query.get("cursor", ["0"])[0])
    page = [{name: value for name, value in record.items() if not isinstance(value, dict)} for record in kept]
    if request.segments[-1] == "purchase-orders":
        page = [{name: value for name, value in record.items() if not isinstance(value, list)} for record in page]
    onward = {name: values for name, values in query.items() if name != "cursor"} | {"cursor": [str(at + size)]}
    address = f"https://api.pack.cloud{request.path.partition('?')[0]}?{urlencode(onward, doseq=True)}"
    links = {"prev": None, "next": address if at + size < len(page) else None}
    return json_reply(200, {"data": page[at : at + size], "links": links, "meta": {"per_page": size}})


def _begin(request: Request, _: Catalog) -> Reply | None:
    """Accept an asynchronous operation; the result of an action repeats its code."""
    if request.method != "POST":
        return None
    executes = request.segments[-1] == "execute"
    return json_reply(202, {"data": {"action": request.segments[-2]}}) if executes else Reply(202)


MOCK = MockPlatform(
    starter=StarterAccount(
        {"organization_id": "org_1", "token": TOKEN_REF},
        ("purchase_order", "customer"),
        {"scheme": "hmac", "header": "X-Signature", "secrets": [SECRET_REF]},
    ),
    routes=(
        record_route("pack_cloud", "purchase_order", f"{_PACK}/purchase-orders/{{id}}"),
        record_route("pack_cloud", "purchase_order_line", f"{_PACK}/purchase-orders/*/lines/{{id}}", "PUT"),
        record_route("pack_cloud", "webhook", f"{_PACK}/webhooks/{{id}}", "PUT"),
        record_route("pack_cloud", "customer", f"{_PACK}/customers/{{id}}"),
        record_route("pack_cloud", "order", f"{_PACK}/orders/{{id}}"),
        record_route("pack_cloud", "integration", f"{_INTEGRATION}/{{id}}", "PUT", "DELETE"),
        record_route("pack_cloud", "integration_settings", f"{_INTEGRATION}/{{id}}/settings"),
        record_route("pack_cloud", "rule_type", f"{_PACK}/rule-types/{{id}}"),
        record_route("pack_cloud", "rule", f"{_RULE}/{{id}}", "PUT", "DELETE"),
        record_route("pack_cloud", "rule_action", f"{_RULE}/*/actions/{{id}}", "PUT", "DELETE"),
        record_route("pack_cloud", "rule_condition", f"{_RULE}/*/conditions/{{id}}", "PUT", "DELETE"),
    ),
    lists=(
        list_route("pack_cloud", "purchase_order", f"{_PACK}/purchase-orders", creates=True),
        list_route("pack_cloud", "purchase_order_line", f"{_PACK}/purchase-orders/*/lines", creates=True),
        list_route("pack_cloud", "webhook", f"{_PACK}/webhooks", creates=True),
        list_route("pack_cloud", "integration", _INTEGRATION, creates=True),
        list_route("pack_cloud", "integration_action", f"{_INTEGRATION}/*/actions"),
        list_route("pack_cloud", "rule_type", f"{_PACK}/rule-types"),
        list_route("pack_cloud", "rule", _RULE, creates=True),
        list_route("pack_cloud", "rule_action", f"{_RULE}/*/actions", creates=True),
        list_route("pack_cloud", "rule_condition", f"{_RULE}/*/conditions", creates=True),
    ),
    list_records=_list_records,
    base_path="/v1",
    id_keys={"rule_type": "code", "integration_action": "code"},
    extra=tuple(ExtraRoute(path_steps("pack_cloud", f"{_INTEGRATION}/*/{path}"), _begin) for path in _ASYNC_PATHS),
    create=partial(create_record, status=201),
)
