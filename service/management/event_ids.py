"""Ids by a unique prefix, as lists show them.

The store has no index by id. The ids of the newest events are read until the limit, and compared.
"""

import re
from collections.abc import Sequence

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
    return only_id(prefix, await find_event_ids(stores, prefix))


def only_id(prefix: str, found: Sequence[str]) -> str | None:
    """Return the only one of the ids that begin with a prefix; None if there is none.

    Raises:
        Rejection: 422 `invalid`: there are several ids.
    """
    if len(found) > 1:
        some = ", ".join(found[:AMBIGUOUS_IDS_MAX])
        raise Rejection(422, "invalid", f"Several ids begin with {prefix}: {some}. Give more characters.")
    return found[0] if found else None


def is_id_prefix(text: str) -> bool:
    """Return whether a text can be the beginning of an id."""
    return _PREFIX.fullmatch(text) is not None


async def find_event_ids(stores: NamedStores, prefix: str) -> list[str]:
    """Return all ids among the newest events that begin with `prefix`, newest first; none for other text.

    Raises:
        StoreUnavailable: A store does not answer.
    """
    if not is_id_prefix(prefix):
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
