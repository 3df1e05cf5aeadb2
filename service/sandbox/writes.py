"""How each platform takes what is written: what it refuses, what it answers, and what is there afterwards."""

from http import HTTPStatus
from itertools import count
from typing import Any

import msgspec

from service.sandbox.asgi import Reply, Request, json_reply
from service.sandbox.catalog import ID_KEYS, Catalog
from service.sandbox.routes import ListRoute, Route

_numbers = count(9_001)
_decoder = msgspec.json.Decoder(dict[str, Any])

OFN_FIELDS = frozenset(
    {"enterprise_id", "first_name", "last_name", "code", "email", "tags", "billing_address", "shipping_address"}
)


def create(request: Request, catalog: Catalog, route: ListRoute) -> Reply:
    """Add a record."""
    if route.platform == "open_food_network":
        return _write_ofn(request, catalog, None)
    try:
        written = _decoder.decode(request.body)
    except msgspec.MsgspecError as error:
        return json_reply(422, {"message": str(error)})
    record_id = str(next(_numbers))
    catalog.put(route.platform, route.kind, record_id, written)
    return Reply(201 if route.platform == "pack_cloud" else 200, _shown(catalog, route, record_id))


def change(request: Request, catalog: Catalog, route: Route, record_id: str) -> Reply:
    """Change or delete a record that is there."""
    if request.method == "DELETE":
        shown = _shown(catalog, route, record_id)
        catalog.delete(route.platform, route.kind, record_id)
        return Reply(200, b'{"data":%b}' % _without_balance(shown)) if route.wrapped else Reply(204)
    if route.platform == "open_food_network":
        return _write_ofn(request, catalog, record_id)
    try:
        written = _decoder.decode(request.body)
    except msgspec.MsgspecError as error:
        return json_reply(422, {"message": str(error)})
    catalog.put(route.platform, route.kind, record_id, _decoder.decode(_shown(catalog, route, record_id)) | written)
    return Reply(200, _shown(catalog, route, record_id))


def extend(request: Request, catalog: Catalog, segments: tuple[str, ...]) -> Reply:
    """Add an extension to a customer of Flow Retail, or take it away."""
    record_id, code, organization = segments[5], segments[7], segments[8]
    record = catalog.get("flow_retail", "customer", record_id)
    if record is None:
        return Reply(HTTPStatus.NOT_FOUND, catalog.error("flow_retail", 404))
    customer = _decoder.decode(record)
    extension = {"extensionCode": code, "organizationUid": organization}
    before: list[Any] = customer.get("extensions") or []
    others = [item for item in before if item != extension]
    customer["extensions"] = others + ([extension] if request.method == "POST" else [])
    catalog.put("flow_retail", "customer", record_id, customer)
    changed = catalog.get("flow_retail", "customer", record_id)
    return Reply(204) if request.method == "DELETE" or changed is None else Reply(200, changed)


def _write_ofn(request: Request, catalog: Catalog, record_id: str | None) -> Reply:
    """An upsert by e-mail and enterprise; keys it does not know, and a billing address as an object, are refused."""
    try:
        written = _decoder.decode(request.body)
    except msgspec.MsgspecError:
        return json_reply(422, {"errors": [{"detail": "the body is no JSON object"}]})
    rejected = _rejected_by_ofn(written)
    if rejected is not None:
        return rejected
    same = _same_customer(catalog, written)
    own = record_id or same or str(next(_numbers))
    example = catalog.get("open_food_network", "customer", own) if own.isdigit() else None
    customer = _decoder.decode(example or b"{}")
    before: dict[str, Any] = customer.get("attributes", {}) if record_id or same else _EMPTY
    attributes = {**before, **written, "email": str(written["email"]).lower(), "id": int(own)}
    catalog.put("open_food_network", "customer", own, {**customer, "attributes": attributes})
    shown = catalog.get("open_food_network", "customer", own) or b"{}"
    return Reply(200 if record_id else 201, b'{"data":%b}' % _without_balance(shown))


def _rejected_by_ofn(written: dict[str, Any]) -> Reply | None:
    strays = sorted(written.keys() - OFN_FIELDS)
    if isinstance(written.get("billing_address"), dict):
        strays.append("billing_address")
    if strays:
        return json_reply(422, {"errors": [{"detail": f"found unpermitted parameter: :{strays[0]}"}]})
    missing = [f"{name} can't be blank" for name in ("enterprise_id", "email") if not written.get(name)]
    if missing:
        detail = "Invalid resource. Please fix errors and try again."
        return json_reply(422, {"errors": [{"detail": detail}], "meta": {"validation_errors": missing}})
    return None


_EMPTY: dict[str, Any] = {
    "first_name": "", "last_name": "", "code": None, "allow_charges": False, "tags": [],
    "terms_and_conditions_accepted_at": None, "billing_address": None, "shipping_address": None, "balance": 0.0,
}  # fmt: skip
"""A customer of whom nothing but e-mail and enterprise is known."""


def _same_customer(catalog: Catalog, written: dict[str, Any]) -> str | None:
    identity = (str(written["email"]).lower(), written["enterprise_id"])
    for record in catalog.all("open_food_network", "customer"):
        customer = _decoder.decode(record)
        attributes = customer["attributes"]
        if (attributes.get("email"), attributes.get("enterprise_id")) == identity:
            return str(customer["id"])
    return None


def _without_balance(record: bytes) -> bytes:
    customer = _decoder.decode(record)
    customer.get("attributes", {}).pop("balance", None)
    return msgspec.json.encode(customer)


def _shown(catalog: Catalog, route: Route | ListRoute, record_id: str) -> bytes:
    own = ID_KEYS.get((route.platform, route.kind), "id")
    return catalog.get(route.platform, route.kind, record_id) or msgspec.json.encode({own: record_id})
