"""The quarantine for people: refused deliveries listed, shown, judged again, taken in, forgotten, by either door.

Shown is what helps to see what went wrong: names, sizes, codes. Credentials, signatures and personal data only `raw`.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from operator import itemgetter
from typing import Any, Literal

from msgspec import Struct

from service.errors import Refusal
from service.ingestion.arrivals import Outcome
from service.ingestion.event_store import EventStore
from service.ingestion.headers import KEPT
from service.ingestion.reverification import Finding, judge, take_in
from service.oversight.audit import Operator, tell_change, to_its_end
from service.oversight.places import Place, Places
from service.oversight.views import Sight, view_body
from service.oversight.wanted import moment_text
from service.redaction import scrub
from service.sources import Source
from service.store import Refused


class RefusedRow(Struct, frozen=True, kw_only=True):
    """A refused delivery in one row: why and when; `body_bytes` is null where it was not read to its end."""

    id: str
    source: str
    received_at: str
    code: str
    http_status: int
    body_bytes: int | None
    store: str


class RefusedPage(Struct, frozen=True):
    """One page, newest first, and where the next one begins; at the end that is null."""

    items: Sequence[RefusedRow]
    next: str | None = None


class RefusedView(RefusedRow, frozen=True, kw_only=True):
    """A refused delivery with what was sent; headers that may hold credentials by their length only, unless raw."""

    headers: Mapping[str, str]
    path_token: str | None
    body: Any
    encoding: Literal["json", "utf-8", "base64"] | None
    body_sha256: str


class Reviewed(Struct, frozen=True, kw_only=True):
    """What is thought of a refused delivery now; `events` is what became of each of its facts once it was released."""

    id: str
    source: str
    result: Literal["verified", "rejected", "released"]
    code: str | None = None
    detail: str = ""
    events: Sequence[Outcome] = ()


class Discarded(Struct, frozen=True):
    """A refused delivery that was forgotten."""

    id: str
    source: str


async def list_refused(places: Places, source: str | None, limit: int, after: str | None) -> RefusedPage:
    """Give one page of refused deliveries, all sources' or one's.

    Raises:
        StoreUnavailable: a store does not answer.
    """
    found: list[tuple[str, str, Place]] = []
    for place in places:
        for name in [source] if source is not None else await place.store.quarantine.sources():
            found += [(each, name, place) for each in await place.store.quarantine.ids(name)]
    # Ids sort by the moment they were made.
    behind = sorted((each for each in found if after is None or each[0] < after), key=itemgetter(0), reverse=True)
    rows: list[RefusedRow] = []
    for refused_id, name, place in behind[:limit]:
        rows += [_row(place, each) for each in await place.store.quarantine.read(name, [refused_id])]
    return RefusedPage(rows, behind[limit - 1][0] if len(behind) > limit else None)


async def show_refused(places: Places, refused_id: str, sight: Sight) -> RefusedView:
    """Show one.

    Raises:
        Refusal: 404 `not_found`.
        StoreUnavailable: a store does not answer.
    """
    place, refused = await _locate(places, refused_id)
    raw = sight == "raw"
    row = _row(place, refused)
    body, encoding = view_body(refused.body, sight)
    token = refused.path_token
    return RefusedView(
        **{name: getattr(row, name) for name in RefusedRow.__struct_fields__},
        headers={name: _seen_header(name, value, raw=raw) for name, value in sorted(refused.headers.items())},
        path_token=token if raw or token is None else f"[{len(token)} characters]",
        body=body,
        encoding=encoding,
        body_sha256=sha256(refused.body).hexdigest(),
    )


async def verify_refused(places: Places, refused_id: str, sources: Mapping[str, Source]) -> Reviewed:
    """Judge one again by what is configured now, and change nothing.

    Raises:
        Refusal: 404 `not_found`.
        StoreUnavailable: a store does not answer.
    """
    _, refused = await _locate(places, refused_id)
    finding = judge(refused, sources)
    return (
        _refused_again(finding)
        if finding.admission is None
        else Reviewed(id=refused.id, source=refused.source, result="verified")
    )


async def accept_refused(
    places: Places, operator: Operator, refused_id: str, sources: Mapping[str, Source], store: EventStore
) -> Reviewed:
    """Take one in if it is good by what is configured now; it leaves the quarantine then, and stays otherwise.

    Raises:
        Refusal: 404 `not_found`.
        StoreUnavailable, StoreFull: not known to be safe; may be repeated.
    """
    return await to_its_end(_accept(places, operator, refused_id, sources, store))


async def _accept(
    places: Places, operator: Operator, refused_id: str, sources: Mapping[str, Source], store: EventStore
) -> Reviewed:
    place, refused = await _locate(places, refused_id)
    finding = judge(refused, sources)
    if finding.admission is None:
        return _refused_again(finding)
    outcomes = await take_in(finding, finding.admission, sources, store)
    # Behind the intake: cut off in between, it is taken in again, as the same event.
    await place.store.quarantine.discard(refused.source, [refused.id])
    tell_change(operator, "delivery.released", refused.id)
    return Reviewed(id=refused.id, source=refused.source, result="released", events=outcomes)


async def discard_refused(places: Places, operator: Operator, refused_id: str) -> Discarded:
    """Forget one.

    Raises:
        Refusal: 404 `not_found`.
        StoreUnavailable: not known to be done; may be repeated.
    """
    return await to_its_end(_discard(places, operator, refused_id))


async def _discard(places: Places, operator: Operator, refused_id: str) -> Discarded:
    place, refused = await _locate(places, refused_id)
    await place.store.quarantine.discard(refused.source, [refused.id])
    tell_change(operator, "delivery.deleted", refused.id)
    return Discarded(refused.id, refused.source)


async def _locate(places: Places, refused_id: str) -> tuple[Place, Refused]:
    for place in places:
        refused = await place.store.quarantine.get(refused_id)
        if refused is not None:
            return place, refused
    raise Refusal(404, "not_found", f"There is no {refused_id[:64]} in quarantine.")


def _seen_header(name: str, value: str, *, raw: bool) -> str:
    if raw:
        return value
    return scrub(value) if name in KEPT else f"[{len(value)} characters]"


def _row(place: Place, refused: Refused) -> RefusedRow:
    return RefusedRow(
        id=refused.id,
        source=refused.source,
        received_at=moment_text(refused.received_at * 1000),
        code=refused.code,
        http_status=refused.http_status,
        body_bytes=len(refused.body) if refused.whole else None,
        store=place.name,
    )


def _refused_again(finding: Finding) -> Reviewed:
    refused = finding.refused
    return Reviewed(id=refused.id, source=refused.source, result="rejected", code=finding.code, detail=finding.detail)
