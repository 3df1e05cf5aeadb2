"""Event ids by a unique prefix, as lists show them.

The store has no index by id. The ids of the newest events are read until the limit, and compared.
"""

import re

from service.errors import Rejection
from service.management.stores import NamedStore, NamedStores
from service.store.management.events import ID_PAGE_MAX
from service.store.management.status import INDEXES

PREFIX_CHARACTERS_MIN = 6
COMPARED_EVENTS_MAX = 200_000
"""Limit of ids read for one prefix, per index and store."""

AMBIGUOUS_IDS_MAX = 3
_PREFIX = re.compile(rf"[0-9a-f]{{{PREFIX_CHARACTERS_MIN},31}}", re.ASCII)


async def find_event_id(stores: NamedStores, prefix: str) -> str | None:
    """Return the id of the only event among the newest ones whose id begins with `prefix`; None if there is none.

    Raises:
        Rejection: 422 `invalid`: several ids begin with it.
        StoreUnavailable: A store does not answer.
    """
    found = await find_event_ids(stores, prefix)
    if len(found) > 1:
        some = ", ".join(found[:AMBIGUOUS_IDS_MAX])
        raise Rejection(422, "invalid", f"Several event ids begin with {prefix}: {some}. Give more characters.")
    return found[0] if found else None


async def find_event_ids(stores: NamedStores, prefix: str) -> list[str]:
    """Return all ids among the newest events that begin with `prefix`, newest first; none for other text.

    Raises:
        StoreUnavailable: A store does not answer.
    """
    if _PREFIX.fullmatch(prefix) is None:
        return []
    return sorted({each for named in stores for each in await _ids_with_prefix(named, prefix)}, reverse=True)


async def _ids_with_prefix(named: NamedStore, prefix: str) -> set[str]:
    found: set[str] = set()
    for index in INDEXES:
        for offset in range(0, COMPARED_EVENTS_MAX, ID_PAGE_MAX):
            ids = await named.store.events.newest_ids(index, offset)
            found.update(event_id for event_id in ids if event_id.startswith(prefix))
            if len(ids) < ID_PAGE_MAX:
                break
    return found
