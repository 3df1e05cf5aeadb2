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
from service.errors import Rejection
from service.events import derived_event_id
from service.management.audit_log import Actor, log_admin_change, run_to_completion
from service.management.event_filter import Cursor, EventFilter
from service.management.event_search import EventHit, find_events
from service.management.stores import NamedStore, NamedStores
from service.records import RECORDS
from service.store import QuarantinedDelivery

HITS_PER_CALL = 200
QUARANTINED_PER_CALL = 100

COUNTS = ("events", "hints", "quarantined_deliveries", "stream_entries", "poll_entries", "in_progress")


class ErasureReport(Struct, frozen=True, kw_only=True):
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


class ErasureTarget(Struct, frozen=True):
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


def erasure_target(
    platform: str, customer_id: str, sources: Mapping[str, SourceConfig] | None, accounts: Iterable[str] = ()
) -> ErasureTarget:
    """Say who is meant, with the sources that may have told of them, and the platforms there are."""
    if sources is None:
        return ErasureTarget(platform, customer_id, None)
    own = tuple(name for name, each in sources.items() if each.platform == platform)
    return ErasureTarget(platform, customer_id, own, tuple(accounts))


async def erase_customer(
    places: NamedStores, operator: Actor, customer: ErasureTarget, *, dry_run: bool
) -> ErasureReport:
    """Erase a customer on every store, or count what that would erase.

    Raises:
        Rejection: 404 `not_found`: nothing is there, and no such platform is configured; a slip should not pass for
            done.
        StoreUnavailable: a part may be done; call again.
    """
    erasing = _erase(places, operator, customer, dry_run=dry_run)
    return await (erasing if dry_run else run_to_completion(erasing))


async def _erase(places: NamedStores, operator: Actor, customer: ErasureTarget, *, dry_run: bool) -> ErasureReport:
    counts: dict[str, int] = dict.fromkeys(COUNTS, 0)
    for place in places:
        for name, number in (await _erase_in(place, customer, dry_run=dry_run)).items():
            counts[name] += number
    if customer.accounts and customer.platform not in customer.accounts and not any(counts.values()):
        known = ", ".join(customer.accounts)
        raise Rejection(
            404, "not_found", f"There is no platform {customer.platform[:64]}, nor anything of it; one of {known}."
        )
    if not dry_run:
        log_admin_change(operator, "customer.erased", customer.lane, **counts)
    return ErasureReport(platform=customer.platform, customer_id=customer.id, dry_run=dry_run, **counts)


async def _erase_in(place: NamedStore, customer: ErasureTarget, *, dry_run: bool) -> dict[str, int]:
    """What leads to the events goes before them, so that a run that was cut short finds it again."""
    own, hints = list[str](), list[EventHit]()
    # Every event there is: a hint stands on the lane of what it names, which may be any.
    async for hit in _every_hit(place, EventFilter()):
        if hit.summary.record == customer.lane:
            own.append(hit.summary.id)
        elif await _leads_to(hit, customer):
            hints.append(hit)
    ids = frozenset([*own, *(hit.summary.id for hit in hints)])
    quarantined = await _quarantined_of(place, customer)
    published = await place.overview.erase_stream_entries(ids, erase=not dry_run)
    seen = [
        await place.overview.erase_poll_state(source, customer.id, erase=not dry_run)
        for source in customer.sources or ()
    ]
    counts = {
        "hints": len(hints),
        "quarantined_deliveries": len(quarantined),
        "stream_entries": published,
        "poll_entries": sum(seen),
    }
    if dry_run:
        return counts | {"events": len(own)}
    for each in quarantined:
        await place.store.quarantine.delete(each.source, [each.id])
    in_hand = 0
    for hit in hints:
        in_hand += (await place.store.memory_usage.erase_events(hit.summary.record, [hit.summary.id])).in_progress
    erased = await place.store.memory_usage.erase_record(customer.lane)
    return counts | {"events": erased.events, "in_progress": in_hand + erased.in_progress}


async def _every_hit(place: NamedStore, event_filter: EventFilter) -> AsyncIterator[EventHit]:
    after: Cursor | None = None
    while True:
        hits, after = await find_events([place], event_filter, HITS_PER_CALL, after)
        for hit in hits:
            yield hit
        if after is None:
            return


async def _leads_to(hit: EventHit, customer: ErasureTarget) -> bool:
    """Whether an event is a hint of this platform that led to the customer, or whose body names them."""
    platform, _, rest = hit.summary.record.partition(":")
    if platform != customer.platform or rest.partition(":")[0] in RECORDS:
        return False
    shown = await hit.store.store.events.get(hit.summary.id)
    event: Mapping[str, Any] = (shown or {}).get("event") or {}
    if mentions(event.get("body", b""), customer.id):
        return True
    return await hit.store.store.events.get(derived_event_id(hit.summary.id, customer.lane)) is not None


async def _quarantined_of(place: NamedStore, customer: ErasureTarget) -> list[QuarantinedDelivery]:
    """The refused deliveries of the platform's sources in which the customer's id stands."""
    quarantine = place.store.quarantine
    found: list[QuarantinedDelivery] = []
    for source in await quarantine.sources():
        if customer.sources is not None and source not in customer.sources:
            continue
        ids = await quarantine.ids(source)
        for start in range(0, len(ids), QUARANTINED_PER_CALL):
            kept: Sequence[QuarantinedDelivery] = await quarantine.read(
                source, ids[start : start + QUARANTINED_PER_CALL]
            )
            found += [each for each in kept if _is_about(each, customer.id)]
    return found


def _is_about(quarantined: QuarantinedDelivery, customer_id: str) -> bool:
    headers = "\n".join(quarantined.headers.values()).encode()
    return mentions(quarantined.body, customer_id) or mentions(headers, customer_id)


def mentions(body: bytes, record_id: str) -> bool:
    """Whether a record's id stands in a body as a word of its own, be it percent-encoded or with JSON's escapes."""
    # As a word, or the customer 12 would take the deliveries of 512 along.
    word = re.compile(rb"(?<![0-9A-Za-z])" + re.escape(record_id.encode()) + rb"(?![0-9A-Za-z])")
    if word.search(body) or word.search(unquote_to_bytes(body)):
        return True
    try:
        return word.search(msgspec.json.encode(msgspec.json.decode(body))) is not None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
