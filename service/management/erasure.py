"""Erasure of a customer: events, last state, hints, quarantined deliveries, stream entries and poll entries.

Not erased: dedupe keys (digests), log lines (ids only), and events of other records. Their bodies and histories stay
for their own retention. A history can name the customer: in look-ups, in compared values and in inputs of effects.
Erase the customer on the platform first. Otherwise a poll ingests the customer again.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import Struct

from service.config import SourceConfig
from service.config.platforms import PlatformConfig
from service.errors import ConfigError, Rejection
from service.events import RecordRef, derived_event_id
from service.management.audit_log import Actor, log_admin_change, to_completion
from service.management.event_filter import Cursor, EventFilter
from service.management.event_search import EventHit, find_events
from service.management.stores import NamedStore, NamedStores
from service.records import RECORDS
from service.store import QuarantinedDelivery

CUSTOMER = "customer"
HITS_PER_CALL = 200
QUARANTINED_PER_CALL = 100

COUNTS = ("events", "hints", "quarantined_deliveries", "stream_entries", "poll_entries", "in_progress")


class ErasureReport(Struct, frozen=True, kw_only=True):
    """Counts of erased items; in a dry run, counts of the items that an erasure would remove.

    `events` are the customer's, `hints` led to the customer, `quarantined_deliveries` contain the id. Events
    `in_progress` are not erased: repeat the call until there are none.
    """

    record: str
    dry_run: bool
    events: int
    hints: int
    quarantined_deliveries: int
    stream_entries: int
    poll_entries: int
    in_progress: int


class ErasureTarget(Struct, frozen=True):
    """Customer to erase, with the sources of the platform, or None without a configuration.

    `accounts` are the configured platform accounts. `hints` are the kinds that the platform resolves to records; None
    means all but the built-in records.
    """

    platform: str
    id: str
    sources: tuple[str, ...] | None
    accounts: tuple[str, ...] = ()
    hints: frozenset[str] | None = None

    @property
    def lane(self) -> str:
        """Lane of the customer's record."""
        return RecordRef(self.platform, CUSTOMER, self.id).lane

    def is_hint(self, kind: str) -> bool:
        """Return whether events about this kind may lead to the customer."""
        return kind not in RECORDS if self.hints is None else kind in self.hints


def parse_customer(record: str, path: str) -> RecordRef:
    """Parse ACCOUNT:customer:ID.

    Raises:
        ConfigError: the text is not of this form; `path` is the place of the error.
    """
    ref = RecordRef.parse(record, path)
    if ref.kind != CUSTOMER:
        raise ConfigError(path, f"{ref.kind[:64]!r} is not the kind {CUSTOMER}", f"write ACCOUNT:{CUSTOMER}:ID")
    return ref


def erasure_target(
    record: str, sources: Mapping[str, SourceConfig] | None, accounts: Mapping[str, PlatformConfig]
) -> ErasureTarget:
    """Return the customer to erase, with the sources of the platform and the configured accounts.

    Raises:
        ConfigError: `record` is not the record of a customer.
    """
    customer = parse_customer(record, "record")
    platform, customer_id = customer.platform, customer.id
    if sources is None:
        return ErasureTarget(platform, customer_id, None)
    own = tuple(name for name, each in sources.items() if each.platform == platform)
    hints = accounts[platform].hints if platform in accounts else None
    return ErasureTarget(platform, customer_id, own, tuple(accounts), hints)


async def erase_customer(stores: NamedStores, actor: Actor, customer: ErasureTarget, *, dry_run: bool) -> ErasureReport:
    """Erase a customer on every store, or count the items in a dry run.

    Raises:
        Rejection: 404 `not_found`: The platform is not configured and no item was found; a typing error is reported.
        StoreUnavailable: Some items may be erased. Repeat the call.
    """
    erase = _erase if dry_run else to_completion(_erase)
    return await erase(stores, actor, customer, dry_run=dry_run)


async def _erase(stores: NamedStores, actor: Actor, customer: ErasureTarget, *, dry_run: bool) -> ErasureReport:
    counts: dict[str, int] = dict.fromkeys(COUNTS, 0)
    for named in stores:
        for name, number in (await _erase_in(named, customer, dry_run=dry_run)).items():
            counts[name] += number
    if customer.accounts and customer.platform not in customer.accounts and not any(counts.values()):
        known = ", ".join(customer.accounts)
        detail = f"Platform account {customer.platform[:64]} not found, nor any item of it. Use one of: {known}."
        raise Rejection(404, "not_found", detail)
    if not dry_run:
        log_admin_change(actor, "customer.erased", customer.lane, **counts)
    return ErasureReport(record=customer.lane, dry_run=dry_run, **counts)


async def _erase_in(named: NamedStore, customer: ErasureTarget, *, dry_run: bool) -> dict[str, int]:
    """Erase hints before events, so that the next run after an interruption finds the hints again."""
    own, hints = list[str](), list[EventHit]()
    # All events are read: a hint may be on any lane of the platform.
    async for hit in _all_events(named, EventFilter()):
        if hit.summary.record == customer.lane:
            own.append(hit.summary.id)
        elif await _leads_to(hit, customer):
            hints.append(hit)
    ids = frozenset([*own, *(hit.summary.id for hit in hints)])
    quarantined = await _quarantined_of(named, customer)
    published = await named.inspector.erase_stream_entries(ids, erase=not dry_run)
    poll_entries = [
        await named.inspector.erase_poll_state(source, customer.id, erase=not dry_run)
        for source in customer.sources or ()
    ]
    counts = {
        "hints": len(hints),
        "quarantined_deliveries": len(quarantined),
        "stream_entries": published,
        "poll_entries": sum(poll_entries),
    }
    if dry_run:
        return counts | {"events": len(own)}
    for each in quarantined:
        await named.store.quarantine.delete(each.source, [each.id])
    in_progress = 0
    for hit in hints:
        in_progress += (await named.store.memory_usage.erase_events(hit.summary.record, [hit.summary.id])).in_progress
    erased = await named.store.memory_usage.erase_record(customer.lane)
    return counts | {"events": erased.events, "in_progress": in_progress + erased.in_progress}


async def _all_events(named: NamedStore, event_filter: EventFilter) -> AsyncIterator[EventHit]:
    after: Cursor | None = None
    while True:
        hits, after = await find_events([named], event_filter, HITS_PER_CALL, after)
        for hit in hits:
            yield hit
        if after is None:
            return


async def _leads_to(hit: EventHit, customer: ErasureTarget) -> bool:
    """Return whether an event is a hint of the platform that led to the customer or contains the customer's id."""
    platform, _, rest = hit.summary.record.partition(":")
    if platform != customer.platform or not customer.is_hint(rest.partition(":")[0]):
        return False
    shown = await hit.store.store.events.get(hit.summary.id)
    event: Mapping[str, Any] = (shown or {}).get("event") or {}
    if mentions(event.get("body", b""), customer.id):
        return True
    return await hit.store.store.events.get(derived_event_id(hit.summary.id, customer.lane)) is not None


async def _quarantined_of(named: NamedStore, customer: ErasureTarget) -> list[QuarantinedDelivery]:
    """Return the quarantined deliveries of the platform's sources that contain the customer's id."""
    quarantine = named.store.quarantine
    found: list[QuarantinedDelivery] = []
    for source in await quarantine.sources():
        if customer.sources is not None and source not in customer.sources:
            continue
        ids = await quarantine.ids(source)
        for start in range(0, len(ids), QUARANTINED_PER_CALL):
            deliveries: Sequence[QuarantinedDelivery] = await quarantine.read(
                source, ids[start : start + QUARANTINED_PER_CALL]
            )
            found += [each for each in deliveries if _is_about(each, customer.id)]
    return found


def _is_about(quarantined: QuarantinedDelivery, customer_id: str) -> bool:
    headers = "\n".join(quarantined.headers.values()).encode()
    return mentions(quarantined.body, customer_id) or mentions(headers, customer_id)


def mentions(body: bytes, record_id: str) -> bool:
    """Return whether a body contains a record's id as a whole word, also percent-encoded or with JSON escapes."""
    # A whole word: the id 12 must not match the deliveries of 512.
    word = re.compile(rb"(?<![0-9A-Za-z])" + re.escape(record_id.encode()) + rb"(?![0-9A-Za-z])")
    if word.search(body) or word.search(unquote_to_bytes(body)):
        return True
    try:
        return word.search(msgspec.json.encode(msgspec.json.decode(body))) is not None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
