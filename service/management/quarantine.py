"""Quarantine: list, show, reverify, release and delete rejected deliveries.

Output holds names, sizes and codes. Credentials, signatures and personal data are in raw output only.
"""

import asyncio
from collections.abc import Mapping, Sequence
from hashlib import sha256
from operator import itemgetter
from typing import Any, Literal

from msgspec import Struct

from service.errors import Rejection
from service.events import STORED_HEADERS
from service.ingestion.arrivals import FactOutcome
from service.ingestion.diagnosis import Diagnosis, DiagnosisReport
from service.ingestion.reverification import Reverification, ingest, reverify
from service.management.audit_entries import record_change
from service.management.audit_log import to_completion
from service.management.event_filter import format_timestamp
from service.management.event_ids import is_id_prefix, only_id
from service.management.event_view import view_body, visibility_of
from service.management.installation import InstallationOperations
from service.management.stores import NamedStore, NamedStores
from service.redaction import scrub
from service.store import QuarantinedDelivery


class QuarantineRow(Struct, frozen=True, kw_only=True):
    """Quarantined delivery in a list. `body_bytes` is null if the body was not read to its end."""

    id: str
    source: str
    received_at: str
    code: str
    http_status: int
    body_bytes: int | None
    store: str
    item: int | None = None
    """Position in its batch, from 0, if only one item of a batch was rejected."""


class QuarantinePage(Struct, frozen=True):
    """Page of a list, newest first, and the cursor of the next page; null at the end."""

    items: Sequence[QuarantineRow]
    next: str | None = None


class QuarantinedView(QuarantineRow, frozen=True, kw_only=True):
    """Quarantined delivery with headers and body. A header that may hold a credential shows its length, unless raw."""

    headers: Mapping[str, str]
    path_token: str | None
    body: Any
    encoding: Literal["json", "utf-8", "base64"] | None
    body_sha256: str


class Reverified(Struct, frozen=True, kw_only=True):
    """Result of a verification with the current configuration; `events` holds the ingested events of a release."""

    id: str
    source: str
    result: Literal["verified", "rejected", "released"]
    code: str | None = None
    detail: str = ""
    events: Sequence[FactOutcome] = ()


class Diagnosed(Struct, frozen=True, kw_only=True):
    """Diagnosis of one delivery: why it is rejected, and the schemes that would verify it.

    `complete` is false if a limit of attempts or bytes ended the search.
    """

    id: str
    source: str
    code: str | None
    detail: str
    matches: Sequence[Diagnosis]
    complete: bool


class Deleted(Struct, frozen=True):
    """Quarantined delivery that was deleted."""

    id: str
    source: str


class QuarantineOperations(InstallationOperations):
    """Operations on quarantined deliveries."""

    async def list_quarantine(self, source: str | None, limit: int, after: str | None) -> QuarantinePage:
        """Return one page of quarantined deliveries, of one source or of all.

        Raises:
            StoreUnavailable: A store does not answer.
        """
        found: list[tuple[str, str, NamedStore]] = []
        for named in self.stores:
            for name in [source] if source is not None else await named.store.quarantine.sources():
                found += [(each, name, named) for each in await named.store.quarantine.ids(name)]
        # Ids sort by creation time.
        behind = sorted((each for each in found if after is None or each[0] < after), key=itemgetter(0), reverse=True)
        rows: list[QuarantineRow] = []
        for quarantined_id, name, named in behind[:limit]:
            rows += [_row(named, each) for each in await named.store.quarantine.read(name, [quarantined_id])]
        return QuarantinePage(rows, behind[limit - 1][0] if len(behind) > limit else None)

    async def get_quarantined(self, quarantined_id: str, *, raw: bool) -> QuarantinedView:
        """Return one quarantined delivery.

        Raises:
            Rejection: 403 `permission_denied`: `raw` without the role admin; 404 `not_found`.
            StoreUnavailable: A store does not answer.
        """
        visibility = visibility_of(self.actor, raw=raw)
        named, quarantined = await _locate(self.stores, quarantined_id)
        row = _row(named, quarantined)
        body, encoding = view_body(quarantined.body, visibility)
        token = quarantined.path_token
        return QuarantinedView(
            **{name: getattr(row, name) for name in QuarantineRow.__struct_fields__},
            headers={
                name: _visible_header(name, value, raw=raw) for name, value in sorted(quarantined.headers.items())
            },
            path_token=token if raw or token is None else f"[{len(token)} characters]",
            body=body,
            encoding=encoding,
            body_sha256=sha256(quarantined.body).hexdigest(),
        )

    async def reverify_quarantined(self, quarantined_id: str) -> Reverified:
        """Reverify one quarantined delivery with the current configuration. Changes nothing.

        Raises:
            Rejection: 404 `not_found`.
            StoreUnavailable: A store does not answer.
        """
        _, quarantined = await _locate(self.stores, quarantined_id)
        finding = reverify(quarantined, self.installation.sources())
        return (
            _rejected(finding)
            if finding.admission is None
            else Reverified(id=quarantined.id, source=quarantined.source, result="verified")
        )

    async def diagnose_quarantined(self, quarantined_id: str) -> Diagnosed:
        """Find the schemes and configured secrets that verify one quarantined delivery. Changes nothing.

        Raises:
            Rejection: 404 `not_found`.
            StoreUnavailable: A store does not answer.
        """
        _, quarantined = await _locate(self.stores, quarantined_id)
        sources = self.installation.sources()
        finding, source = reverify(quarantined, sources), sources.get(quarantined.source)
        report = DiagnosisReport((), complete=True)
        if source is not None and source.finder is not None and quarantined.whole and quarantined.item is None:
            report = await asyncio.to_thread(source.finder.diagnose, finding.delivery)
        return Diagnosed(
            id=quarantined.id,
            source=quarantined.source,
            code=finding.code,
            detail=finding.detail,
            matches=report.matches,
            complete=report.complete,
        )

    @to_completion
    async def release_quarantined(self, quarantined_id: str) -> Reverified:
        """Ingest one quarantined delivery if it verifies now, and remove it from quarantine.

        Raises:
            Rejection: 404 `not_found`.
            StoreUnavailable, StoreFull: The events may or may not be stored. The call can be repeated.
        """
        named, quarantined = await _locate(self.stores, quarantined_id)
        sources = self.installation.sources()
        finding = reverify(quarantined, sources)
        if finding.admission is None:
            return _rejected(finding)
        outcomes = await ingest(finding, finding.admission, sources, self.installation.open_store())
        # Remove the delivery after the ingest: a crash in between leads to a duplicate, not to a loss.
        await named.store.quarantine.delete(quarantined.source, [quarantined.id])
        await record_change(named.store, self.actor, "delivery.released", quarantined.id)
        return Reverified(id=quarantined.id, source=quarantined.source, result="released", events=outcomes)

    @to_completion
    async def delete_quarantined(self, quarantined_id: str) -> Deleted:
        """Delete one quarantined delivery.

        Raises:
            Rejection: 404 `not_found`.
            StoreUnavailable: The delivery may or may not be deleted. The call can be repeated.
        """
        named, quarantined = await _locate(self.stores, quarantined_id)
        await named.store.quarantine.delete(quarantined.source, [quarantined.id])
        await record_change(named.store, self.actor, "delivery.deleted", quarantined.id)
        return Deleted(quarantined.id, quarantined.source)


async def _locate(stores: NamedStores, quarantined_id: str) -> tuple[NamedStore, QuarantinedDelivery]:
    for named in stores:
        quarantined = await named.store.quarantine.get(quarantined_id)
        if quarantined is not None:
            return named, quarantined
    whole_id = await _find_id(stores, quarantined_id) if is_id_prefix(quarantined_id) else None
    if whole_id is None:
        raise Rejection(404, "not_found", f"Delivery {quarantined_id[:64]} is not in quarantine.")
    return await _locate(stores, whole_id)


async def _find_id(stores: NamedStores, prefix: str) -> str | None:
    found: set[str] = set()
    for named in stores:
        for source in await named.store.quarantine.sources():
            found.update(each for each in await named.store.quarantine.ids(source) if each.startswith(prefix))
    return only_id(prefix, sorted(found, reverse=True))


def _visible_header(name: str, value: str, *, raw: bool) -> str:
    if raw:
        return value
    return scrub(value) if name in STORED_HEADERS else f"[{len(value)} characters]"


def _row(named: NamedStore, quarantined: QuarantinedDelivery) -> QuarantineRow:
    return QuarantineRow(
        id=quarantined.id,
        source=quarantined.source,
        received_at=format_timestamp(quarantined.received_at * 1000),
        code=quarantined.code,
        http_status=quarantined.http_status,
        body_bytes=len(quarantined.body) if quarantined.whole else None,
        store=named.name,
        item=quarantined.item,
    )


def _rejected(finding: Reverification) -> Reverified:
    quarantined = finding.quarantined
    return Reverified(
        id=quarantined.id, source=quarantined.source, result="rejected", code=finding.code, detail=finding.detail
    )
