"""Mock of Open Food Network."""

from typing import Any

import msgspec

from service.mock.catalog import Catalog
from service.mock.http import Reply, Request, json_reply
from service.mock.platform import SECRET_REF, TOKEN_REF, MockPlatform, Query, RecordJson, StarterAccount
from service.mock.records import decode_object, new_numbers, shown_record
from service.mock.routes import ListRoute, Route, list_route, record_route

PER_PAGE_DEFAULT, PER_PAGE_MAX = 50, 200
FIELDS = frozenset(
    {"enterprise_id", "first_name", "last_name", "code", "email", "tags", "billing_address", "shipping_address"}
)
_EMPTY: dict[str, Any] = {
    "first_name": "", "last_name": "", "code": None, "allow_charges": False, "tags": [],
    "terms_and_conditions_accepted_at": None, "billing_address": None, "shipping_address": None, "balance": 0.0,
}  # fmt: skip
"""A customer of whom nothing but e-mail and enterprise is known."""


def _list_records(request: Request, query: Query, records: list[RecordJson], _: str) -> Reply:
    """List customers by id, with balances on request; reject page 0, and limit the size of a page."""
    page, per_page = int(query.get("page", ["1"])[0]), int(query.get("per_page", [str(PER_PAGE_DEFAULT)])[0])
    if page < 1:
        return json_reply(422, {"errors": [_invalid_parameter("page", f"expected :page >= 1; got {page}")]})
    per_page = min(max(per_page, 1), PER_PAGE_MAX)
    enterprise = query.get("enterprise_id", [None])[0]
    extra = "balance" in query.get("extra_fields[customer]", [])
    ordered = sorted(records, key=lambda record: int(record["id"]))
    shown = [record if extra else _without_balance(record) for record in ordered]
    shown = [record for record in shown if enterprise in {None, str(record["attributes"].get("enterprise_id"))}]
    pages = max(-(-len(shown) // per_page), 1)
    path = f"https://ofn.example.org{request.path.partition('?')[0].removeprefix('/open_food_network')}"

    def link(number: int) -> str | None:
        return f"{path}?page={number}&per_page={per_page}" if 1 <= number <= pages else None

    links = {"self": link(page) or f"{path}?page={page}", "first": link(1), "last": link(pages)}
    links |= {"prev": link(page - 1), "next": link(page + 1)}
    counts = {"results": len(shown), "pages": pages, "page": page, "per_page": per_page}
    at = (page - 1) * per_page
    return json_reply(200, {"data": shown[at : at + per_page], "meta": {"pagination": counts}, "links": links})


def _invalid_parameter(name: str, detail: str) -> dict[str, Any]:
    source = {"parameter": name}
    return {
        "detail": detail, "title": "Invalid query parameter", "source": source, "status": "unprocessable_entity",
        "code": 422,
    }  # fmt: skip


def _without_balance(record: RecordJson) -> RecordJson:
    attributes = {name: value for name, value in record["attributes"].items() if name != "balance"}
    return {**record, "attributes": attributes}


def _create(request: Request, catalog: Catalog, _: ListRoute) -> Reply:
    return _upsert(request, catalog, None)


def _change(request: Request, catalog: Catalog, route: Route, record_id: str) -> Reply:
    if request.method != "DELETE":
        return _upsert(request, catalog, record_id)
    shown = shown_record(catalog, route, record_id)
    catalog.delete(route.platform, route.kind, record_id)
    return Reply(200, b'{"data":%b}' % _encode_without_balance(shown))


def _upsert(request: Request, catalog: Catalog, record_id: str | None) -> Reply:
    """Create or update a customer by e-mail and enterprise; reject unknown keys, and a billing address as an object."""
    try:
        written = decode_object(request.body)
    except msgspec.MsgspecError:
        return json_reply(422, {"errors": [{"detail": "the body is no JSON object"}]})
    rejected = _rejection(written)
    if rejected is not None:
        return rejected
    same = _same_customer(catalog, written)
    own = record_id or same or str(next(new_numbers))
    example = catalog.get("open_food_network", "customer", own) if own.isdigit() else None
    customer = decode_object(example or b"{}")
    before: dict[str, Any] = customer.get("attributes", {}) if record_id or same else _EMPTY
    attributes = {**before, **written, "email": str(written["email"]).lower(), "id": int(own)}
    catalog.put("open_food_network", "customer", own, {**customer, "attributes": attributes})
    shown = catalog.get("open_food_network", "customer", own) or b"{}"
    return Reply(200 if record_id else 201, b'{"data":%b}' % _encode_without_balance(shown))


def _rejection(written: dict[str, Any]) -> Reply | None:
    strays = sorted(written.keys() - FIELDS)
    if isinstance(written.get("billing_address"), dict):
        strays.append("billing_address")
    if strays:
        return json_reply(422, {"errors": [{"detail": f"found unpermitted parameter: :{strays[0]}"}]})
    missing = [f"{name} can't be blank" for name in ("enterprise_id", "email") if not written.get(name)]
    if missing:
        detail = "Invalid resource. Please fix errors and try again."
        return json_reply(422, {"errors": [{"detail": detail}], "meta": {"validation_errors": missing}})
    return None


def _same_customer(catalog: Catalog, written: dict[str, Any]) -> str | None:
    identity = (str(written["email"]).lower(), written["enterprise_id"])
    for record in catalog.all("open_food_network", "customer"):
        customer = decode_object(record)
        attributes = customer["attributes"]
        if (attributes.get("email"), attributes.get("enterprise_id")) == identity:
            return str(customer["id"])
    return None


def _encode_without_balance(record: bytes) -> bytes:
    customer = decode_object(record)
    customer.get("attributes", {}).pop("balance", None)
    return msgspec.json.encode(customer)


MOCK = MockPlatform(
    starter=StarterAccount({"token": TOKEN_REF}, ("customer",), {"scheme": "path_token", "secrets": [SECRET_REF]}),
    routes=(
        record_route("open_food_network", "customer", "api/v1/customers/{id}", "PUT", "DELETE", wrapped=True),
        record_route("open_food_network", "order", "api/v0/orders/{id}"),
    ),
    lists=(list_route("open_food_network", "customer", "api/v1/customers", creates=True),),
    list_records=_list_records,
    id_keys={"order": "number"},
    read_key=lambda request: request.headers.get("x-api-token", ""),
    create=_create,
    change=_change,
)
