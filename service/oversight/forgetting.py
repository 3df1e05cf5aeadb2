"""Erasing a customer everywhere: events, last state, hints that led to it, refused deliveries, published entries.

What stays: claims, which are digests; log lines, which hold ids only; and what other records' events say of them
until their bodies go. Erase the customer at the platform first, or a poll will find it anew.
"""

import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import Struct

from service.config import SourceConfig
from service.errors import Refusal
from service.events import derived_event_id
from service.oversight.audit import Operator, tell_change, to_its_end
from service.oversight.listing import Hit, find_events
from service.oversight.places import Place, Places
from service.oversight.wanted import Cursor, Wanted
from service.records import RECORDS
from service.store import Refused

HITS_PER_CALL = 200
REFUSED_PER_CALL = 100

COUNTS = ("events", "hints", "quarantined_deliveries", "stream_entries", "poll_entries", "in_progress")


class Forgotten(Struct, frozen=True, kw_only=True):
    """How much was erased, or would be by a run that is not dry.

    `events` are the customer's, `hints` those that led to it, `quarantined_deliveries` that name it,
    `stream_entries` and `poll_entries` of it. `in_progress` events a run works on just now: ask
    again in a while until there are none.
    """

    platform: str
    customer_id: str
    dry_run: bool
    events: int
    hints: int
    quarantined_deliveries: int
    stream_entries: int
    poll_entries: int
    in_progress: int


class Customer(Struct, frozen=True):
    """Who is to be forgotten; `sources` are those of the platform, None where no configuration tells.

    `accounts` are the platforms there are, as far as they are known.
    """

    platform: str
    id: str
    sources: tuple[str, ...] | None
    accounts: tuple[str, ...] = ()

    @property
    def lane(self) -> str:
        """The lane of the customer's record."""
        return f"{self.platform}:customer:{self.id}"


def customer_of(
    platform: str, customer_id: str, sources: Mapping[str, SourceConfig] | None, accounts: Iterable[str] = ()
) -> Customer:
    """Say who is meant, with the sources that may have told of them, and the platforms there are."""
    if sources is None:
        return Customer(platform, customer_id, None)
    own = tuple(name for name, each in sources.items() if each.platform == platform)
    return Customer(platform, customer_id, own, tuple(accounts))


async def forget(places: Places, operator: Operator, customer: Customer, *, dry_run: bool) -> Forgotten:
    """Erase a customer on every store, or count what that would erase.

    Raises:
        Refusal: 404 `not_found`: nothing is there, and no such platform is configured; a slip should not pass for done.
        StoreUnavailable: a part may be done; call again.
    """
    erasing = _forget(places, operator, customer, dry_run=dry_run)
    return await (erasing if dry_run else to_its_end(erasing))


async def _forget(places: Places, operator: Operator, customer: Customer, *, dry_run: bool) -> Forgotten:
    counts: dict[str, int] = dict.fromkeys(COUNTS, 0)
    for place in places:
        for name, number in (await _forget_on(place, customer, dry_run=dry_run)).items():
            counts[name] += number
    if customer.accounts and customer.platform not in customer.accounts and not any(counts.values()):
        known = ", ".join(customer.accounts)
        raise Refusal(
            404, "not_found", f"There is no platform {customer.platform[:64]}, nor anything of it; one of {known}."
        )
    if not dry_run:
        tell_change(operator, "customer.erased", customer.lane, **counts)
    return Forgotten(platform=customer.platform, customer_id=customer.id, dry_run=dry_run, **counts)


async def _forget_on(place: Place, customer: Customer, *, dry_run: bool) -> dict[str, int]:
    """What leads to the events goes before them, so that a run that was cut short finds it again."""
    own, hints = list[str](), list[Hit]()
    # Every event there is: a hint stands on the lane of what it names, which may be any.
    async for hit in _every_hit(place, Wanted()):
        if hit.summary.record == customer.lane:
            own.append(hit.summary.id)
        elif await _leads_to(hit, customer):
            hints.append(hit)
    ids = frozenset([*own, *(hit.summary.id for hit in hints)])
    refused = await _refused(place, customer)
    published = await place.overview.forget_published(ids, erase=not dry_run)
    seen = [
        await place.overview.forget_polled(source, customer.id, erase=not dry_run) for source in customer.sources or ()
    ]
    counts = {
        "hints": len(hints),
        "quarantined_deliveries": len(refused),
        "stream_entries": published,
        "poll_entries": sum(seen),
    }
    if dry_run:
        return counts | {"events": len(own)}
    for each in refused:
        await place.store.quarantine.discard(each.source, [each.id])
    in_hand = 0
    for hit in hints:
        in_hand += (await place.store.census.erase(hit.summary.record, [hit.summary.id])).in_hand
    erased = await place.store.census.forget(customer.lane)
    return counts | {"events": erased.events, "in_progress": in_hand + erased.in_hand}


async def _every_hit(place: Place, wanted: Wanted) -> AsyncIterator[Hit]:
    after: Cursor | None = None
    while True:
        hits, after = await find_events([place], wanted, HITS_PER_CALL, after)
        for hit in hits:
            yield hit
        if after is None:
            return


async def _leads_to(hit: Hit, customer: Customer) -> bool:
    """Whether an event is a hint of this platform that led to the customer, or whose body names them."""
    platform, _, rest = hit.summary.record.partition(":")
    if platform != customer.platform or rest.partition(":")[0] in RECORDS:
        return False
    shown = await hit.store.store.events.show(hit.summary.id)
    event: Mapping[str, Any] = (shown or {}).get("event") or {}
    if names(event.get("body", b""), customer.id):
        return True
    return await hit.store.store.events.show(derived_event_id(hit.summary.id, customer.lane)) is not None


async def _refused(place: Place, customer: Customer) -> list[Refused]:
    """The refused deliveries of the platform's sources in which the customer's id stands."""
    shelf = place.store.quarantine
    found: list[Refused] = []
    for source in await shelf.sources():
        if customer.sources is not None and source not in customer.sources:
            continue
        ids = await shelf.ids(source)
        for start in range(0, len(ids), REFUSED_PER_CALL):
            kept: Sequence[Refused] = await shelf.read(source, ids[start : start + REFUSED_PER_CALL])
            found += [each for each in kept if _is_about(each, customer.id)]
    return found


def _is_about(refused: Refused, customer_id: str) -> bool:
    headers = "\n".join(refused.headers.values()).encode()
    return names(refused.body, customer_id) or names(headers, customer_id)


def names(body: bytes, record_id: str) -> bool:
    """Whether a record's id stands in a body as a word of its own, be it percent-encoded or with JSON's escapes."""
    # As a word, or the customer 12 would take the deliveries of 512 along.
    word = re.compile(rb"(?<![0-9A-Za-z])" + re.escape(record_id.encode()) + rb"(?![0-9A-Za-z])")
    if word.search(body) or word.search(unquote_to_bytes(body)):
        return True
    try:
        return word.search(msgspec.json.encode(msgspec.json.decode(body))) is not None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
