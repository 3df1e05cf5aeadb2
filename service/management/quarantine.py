"""The quarantine for people: refused deliveries listed, shown, judged again, taken in, forgotten, by either door.

Shown is what helps to see what went wrong: names, sizes, codes. Credentials, signatures and personal data only `raw`.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from operator import itemgetter
from typing import Any, Literal

from msgspec import Struct

from service.errors import Rejection
from service.ingestion.arrivals import FactOutcome
from service.ingestion.event_store import EventStore
from service.ingestion.headers import STORED_HEADERS
from service.ingestion.reverification import Reverification, ingest, reverify
from service.ingestion.sources import Source
from service.management.audit_log import Actor, log_admin_change, run_to_completion
from service.management.event_filter import format_timestamp
from service.management.event_view import Visibility, view_body
from service.management.stores import NamedStore, NamedStores
from service.redaction import scrub
from service.store import QuarantinedDelivery


class QuarantineRow(Struct, frozen=True, kw_only=True):
    """A refused delivery in one row: why and when; `body_bytes` is null where it was not read to its end."""

    id: str
    source: str
    received_at: str
    code: str
    http_status: int
    body_bytes: int | None
    store: str


class QuarantinePage(Struct, frozen=True):
    """One page, newest first, and where the next one begins; at the end that is null."""

    items: Sequence[QuarantineRow]
    next: str | None = None


class QuarantinedView(QuarantineRow, frozen=True, kw_only=True):
    """A refused delivery with what was sent; headers that may hold credentials by their length only, unless raw."""

    headers: Mapping[str, str]
    path_token: str | None
    body: Any
    encoding: Literal["json", "utf-8", "base64"] | None
    body_sha256: str


class Reverified(Struct, frozen=True, kw_only=True):
    """What is thought of a refused delivery now; `events` is what became of each of its facts once it was released."""

    id: str
    source: str
    result: Literal["verified", "rejected", "released"]
    code: str | None = None
    detail: str = ""
    events: Sequence[FactOutcome] = ()


class Deleted(Struct, frozen=True):
    """A refused delivery that was forgotten."""

    id: str
    source: str


async def list_quarantine(places: NamedStores, source: str | None, limit: int, after: str | None) -> QuarantinePage:
    """Give one page of refused deliveries, all sources' or one's.

    Raises:
        StoreUnavailable: a store does not answer.
    """
    found: list[tuple[str, str, NamedStore]] = []
    for place in places:
        for name in [source] if source is not None else await place.store.quarantine.sources():
            found += [(each, name, place) for each in await place.store.quarantine.ids(name)]
    # Ids sort by the moment they were made.
    behind = sorted((each for each in found if after is None or each[0] < after), key=itemgetter(0), reverse=True)
    rows: list[QuarantineRow] = []
    for quarantined_id, name, place in behind[:limit]:
        rows += [_row(place, each) for each in await place.store.quarantine.read(name, [quarantined_id])]
    return QuarantinePage(rows, behind[limit - 1][0] if len(behind) > limit else None)


async def get_quarantined(places: NamedStores, quarantined_id: str, sight: Visibility) -> QuarantinedView:
    """Show one.

    Raises:
        Rejection: 404 `not_found`.
        StoreUnavailable: a store does not answer.
    """
    place, quarantined = await _locate(places, quarantined_id)
    raw = sight == "raw"
    row = _row(place, quarantined)
    body, encoding = view_body(quarantined.body, sight)
    token = quarantined.path_token
    return QuarantinedView(
        **{name: getattr(row, name) for name in QuarantineRow.__struct_fields__},
        headers={name: _seen_header(name, value, raw=raw) for name, value in sorted(quarantined.headers.items())},
        path_token=token if raw or token is None else f"[{len(token)} characters]",
        body=body,
        encoding=encoding,
        body_sha256=sha256(quarantined.body).hexdigest(),
    )


async def reverify_quarantined(places: NamedStores, quarantined_id: str, sources: Mapping[str, Source]) -> Reverified:
    """Judge one again by what is configured now, and change nothing.

    Raises:
        Rejection: 404 `not_found`.
        StoreUnavailable: a store does not answer.
    """
    _, quarantined = await _locate(places, quarantined_id)
    finding = reverify(quarantined, sources)
    return (
        _rejected_again(finding)
        if finding.admission is None
        else Reverified(id=quarantined.id, source=quarantined.source, result="verified")
    )


async def release_quarantined(
    places: NamedStores, operator: Actor, quarantined_id: str, sources: Mapping[str, Source], store: EventStore
) -> Reverified:
    """Take one in if it is good by what is configured now; it leaves the quarantine then, and stays otherwise.

    Raises:
        Rejection: 404 `not_found`.
        StoreUnavailable, StoreFull: not known to be safe; may be repeated.
    """
    return await run_to_completion(_accept(places, operator, quarantined_id, sources, store))


async def _accept(
    places: NamedStores, operator: Actor, quarantined_id: str, sources: Mapping[str, Source], store: EventStore
) -> Reverified:
    place, quarantined = await _locate(places, quarantined_id)
    finding = reverify(quarantined, sources)
    if finding.admission is None:
        return _rejected_again(finding)
    outcomes = await ingest(finding, finding.admission, sources, store)
    # Behind the intake: cut off in between, it is taken in again, as the same event.
    await place.store.quarantine.delete(quarantined.source, [quarantined.id])
    log_admin_change(operator, "delivery.released", quarantined.id)
    return Reverified(id=quarantined.id, source=quarantined.source, result="released", events=outcomes)


async def delete_quarantined(places: NamedStores, operator: Actor, quarantined_id: str) -> Deleted:
    """Forget one.

    Raises:
        Rejection: 404 `not_found`.
        StoreUnavailable: not known to be done; may be repeated.
    """
    return await run_to_completion(_discard(places, operator, quarantined_id))


async def _discard(places: NamedStores, operator: Actor, quarantined_id: str) -> Deleted:
    place, quarantined = await _locate(places, quarantined_id)
    await place.store.quarantine.delete(quarantined.source, [quarantined.id])
    log_admin_change(operator, "delivery.deleted", quarantined.id)
    return Deleted(quarantined.id, quarantined.source)


async def _locate(places: NamedStores, quarantined_id: str) -> tuple[NamedStore, QuarantinedDelivery]:
    for place in places:
        quarantined = await place.store.quarantine.get(quarantined_id)
        if quarantined is not None:
            return place, quarantined
    raise Rejection(404, "not_found", f"There is no {quarantined_id[:64]} in quarantine.")


def _seen_header(name: str, value: str, *, raw: bool) -> str:
    if raw:
        return value
    return scrub(value) if name in STORED_HEADERS else f"[{len(value)} characters]"


def _row(place: NamedStore, quarantined: QuarantinedDelivery) -> QuarantineRow:
    return QuarantineRow(
        id=quarantined.id,
        source=quarantined.source,
        received_at=format_timestamp(quarantined.received_at * 1000),
        code=quarantined.code,
        http_status=quarantined.http_status,
        body_bytes=len(quarantined.body) if quarantined.whole else None,
        store=place.name,
    )


def _rejected_again(finding: Reverification) -> Reverified:
    quarantined = finding.quarantined
    return Reverified(
        id=quarantined.id, source=quarantined.source, result="rejected", code=finding.code, detail=finding.detail
    )
