"""Writes of a mock as most platforms take them: create, change and delete a record."""

from itertools import count
from typing import Any

import msgspec

from service.mock.catalog import Catalog
from service.mock.http import Reply, Request, json_reply
from service.mock.routes import ListRoute, Route

new_numbers = count(9_001)
decode_object = msgspec.json.Decoder(dict[str, Any]).decode


def create_record(request: Request, catalog: Catalog, route: ListRoute, *, status: int = 200) -> Reply:
    """Create a record."""
    try:
        written = decode_object(request.body)
    except msgspec.MsgspecError as error:
        return json_reply(422, {"message": str(error)})
    record_id = str(next(new_numbers))
    catalog.put(route.platform, route.kind, record_id, written)
    return Reply(status, shown_record(catalog, route, record_id))


def change_record(request: Request, catalog: Catalog, route: Route, record_id: str) -> Reply:
    """Change or delete an existing record."""
    if request.method == "DELETE":
        catalog.delete(route.platform, route.kind, record_id)
        return Reply(204)
    try:
        written = decode_object(request.body)
    except msgspec.MsgspecError as error:
        return json_reply(422, {"message": str(error)})
    catalog.put(route.platform, route.kind, record_id, decode_object(shown_record(catalog, route, record_id)) | written)
    return Reply(200, shown_record(catalog, route, record_id))


def shown_record(catalog: Catalog, route: Route | ListRoute, record_id: str) -> bytes:
    """Return a record's JSON; for a record that does not exist, its id alone."""
    own = catalog.id_key(route.platform, route.kind)
    return catalog.get(route.platform, route.kind, record_id) or msgspec.json.encode({own: record_id})
