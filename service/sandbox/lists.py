"""How each platform shows a list: its filters, its order, its pages, and what is around them."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlencode

import msgspec

from service.sandbox.asgi import Reply, Request, json_reply
from service.sandbox.catalog import ID_KEYS, Catalog
from service.sandbox.routes import ListRoute

RecordJson = dict[str, Any]

PACK_PAGE, ENGAGE_PAGE, OFN_PAGE, OFN_PAGE_MAX, FLOW_PAGE = 25, 25, 50, 200, 25


def list_records(request: Request, catalog: Catalog, route: ListRoute) -> Reply:
    """Answer a list as its platform would."""
    query = parse_qs(request.path.partition("?")[2], keep_blank_values=True)
    records: list[RecordJson] = [msgspec.json.decode(record) for record in catalog.all(route.platform, route.kind)]
    return {"pack_cloud": _pack, "pexip_engage": _engage, "open_food_network": _ofn, "flow_retail": _flow}[
        route.platform
    ](request, query, records, ID_KEYS.get((route.platform, route.kind), "id"))


def _pack(request: Request, query: Mapping[str, Sequence[str]], records: list[RecordJson], _: str) -> Reply:
    """Newest first by default; scalars only, as the list's page shows them; pages by an opaque cursor."""
    statuses = query.get("filter[status][]") or (
        query["filter[status]"][0].split(",") if "filter[status]" in query else None
    )
    kept = [record for record in records if statuses is None or record.get("status") in statuses]
    sort = query.get("sort", ["-created_at"])[0]
    kept.sort(key=lambda record: str(record.get("created_at", "")), reverse=sort.startswith("-"))
    size, at = int(query.get("per_page", [str(PACK_PAGE)])[0]), int(query.get("cursor", ["0"])[0])
    page = [{name: value for name, value in record.items() if not isinstance(value, dict)} for record in kept]
    if request.segments[-1] == "purchase-orders":
        page = [{name: value for name, value in record.items() if not isinstance(value, list)} for record in page]
    onward = {name: values for name, values in query.items() if name != "cursor"} | {"cursor": [str(at + size)]}
    address = f"https://api.pack.cloud{request.path.partition('?')[0]}?{urlencode(onward, doseq=True)}"
    links = {"prev": None, "next": address if at + size < len(page) else None}
    return json_reply(200, {"data": page[at : at + size], "links": links, "meta": {"per_page": size}})


def _engage(_: Request, query: Mapping[str, Sequence[str]], records: list[RecordJson], __: str) -> Reply:
    offset, limit = int(query.get("offset", ["0"])[0]), int(query.get("limit", [str(ENGAGE_PAGE)])[0])
    meta = {"offset": offset, "limit": limit, "totalCount": len(records)}
    return json_reply(200, {"data": records[offset : offset + limit], "meta": meta})


def _ofn(request: Request, query: Mapping[str, Sequence[str]], records: list[RecordJson], _: str) -> Reply:
    """By id, with balances where they are asked for; page 0 is refused, a page too large is made smaller."""
    page, per_page = int(query.get("page", ["1"])[0]), int(query.get("per_page", [str(OFN_PAGE)])[0])
    if page < 1:
        return json_reply(422, {"errors": [{"detail": "expected :page >= 1; got 0", "title": "invalid parameter"}]})
    per_page = min(max(per_page, 1), OFN_PAGE_MAX)
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


def _without_balance(record: RecordJson) -> RecordJson:
    attributes = {name: value for name, value in record["attributes"].items() if name != "balance"}
    return {**record, "attributes": attributes}


def _flow(request: Request, query: Mapping[str, Sequence[str]], records: list[RecordJson], _: str) -> Reply:
    """In the order asked for; a search looks for what its body holds."""
    filters: RecordJson = msgspec.json.decode(request.body) if request.method == "POST" and request.body else {}
    external = query.get("customerExternalId")
    filters |= {"externalId": external[0]} if external else {}
    kept = [record for record in records if all(record.get(name) == value for name, value in filters.items())]
    sort_by = query.get("sortBy", [""])[0]
    if sort_by:
        descending = query.get("sortDirection", ["ASC"])[0] == "DESC"
        kept.sort(key=lambda record: str(record.get(sort_by, "")), reverse=descending)
    number, size = int(query.get("pageNumber", ["1"])[0]), int(query.get("pageSize", [str(FLOW_PAGE)])[0])
    paging = {"pageNumber": number, "pageSize": size, "totalCount": len(kept)}
    return json_reply(200, {"items": kept[(number - 1) * size : number * size], "paging": paging})
