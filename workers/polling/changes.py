"""Change detection for polls: compare listed records with stored fingerprints and build one event per change. Pure.

The new state and the number of changes of the record identify a change, so every worker builds the same event.
"""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from service.config import Config
from service.events import EVENT_VERSION, ChangeType, Event, RecordRef, new_event_id
from service.platforms.base import ListedRecord
from service.settings import Settings
from service.store import IngestRequest
from service.store.platforms.polls import RecordFingerprint, RecordStatus
from service.tracing.spans import current_traceparent

HALF = 8
"""Hex digits of half a digest."""


class PollSource(Struct, frozen=True):
    """One polled source. `window_ms` is the dedupe window of its events.

    With `existing`, the first pass ingests all records. With `has_deliveries`, a source with deliveries has the same
    account, and a change without a delivery is a miss.
    """

    source: str
    account: str
    kind: str
    every_seconds: float
    window_ms: int
    existing: bool = False
    has_deliveries: bool = False


class DetectedChange(Struct, frozen=True):
    """A detected change. `number` counts the changes of the record, so that a state that returns is a new change.

    With `same_version`, the content changed and the version did not.
    """

    listed: ListedRecord
    change: ChangeType
    number: int
    same_version: bool = False


def detect_change(listed: ListedRecord, known: RecordFingerprint | None, *, first: bool) -> DetectedChange | None:
    """Return the change of a record, or None if it has not changed. On the `first` pass no record is new."""
    current = fingerprint(listed, known)
    if known is None:
        return None if first else DetectedChange(listed, "deleted" if listed.deleted else "created", current.changes)
    if current.changes == known.changes:
        return None
    if listed.deleted != known.deleted:
        return DetectedChange(listed, "deleted" if listed.deleted else "created", current.changes)
    same_version = listed.version is not None and _has_version_of(listed, known)
    return DetectedChange(listed, "updated", current.changes, same_version)


def fingerprint(listed: ListedRecord, known: RecordFingerprint | None, *, content_after: str = "") -> RecordFingerprint:
    """Return the fingerprint of a listed record: its version and content, or its content without a version.

    A version may cover several changes, such as those within one second. The content therefore counts too, until it
    differs under an unchanged version: content that differs in every list makes one event, not one per pass. The
    content of versions before `content_after` does not count.
    """
    if known is not None and _is_unchanged(listed, known):
        return RecordFingerprint(known.digest, known.changes, listed.deleted, listed.watched)
    changes = 0 if known is None else known.changes + 1
    digest = _version_digest(listed)
    is_new_version = known is None or not _has_version_of(listed, known)
    if listed.version is None or (is_new_version and listed.digest and listed.version >= content_after):
        digest = _content_digest(listed)
    return RecordFingerprint(digest, changes, listed.deleted, listed.watched)


def _is_unchanged(listed: ListedRecord, known: RecordFingerprint) -> bool:
    if listed.version is not None and known.digest == _version_digest(listed):
        return True
    if listed.version is not None and not listed.digest:
        return _has_version_of(listed, known)
    return known.digest == _content_digest(listed)


def _has_version_of(listed: ListedRecord, known: RecordFingerprint) -> bool:
    return known.digest[:HALF] == _version_digest(listed)[:HALF]


def _version_digest(listed: ListedRecord) -> str:
    return _digest(f"{listed.version}:{listed.deleted}")


def _content_digest(listed: ListedRecord) -> str:
    """Return the digest of the content. With a version its first half is that of the version."""
    content = _digest(listed.digest)
    return content if listed.version is None else _version_digest(listed)[:HALF] + content[:HALF]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[: 2 * HALF]


def tombstone(known: RecordFingerprint) -> RecordFingerprint:
    """Return the fingerprint of a deleted record. The number of changes continues if the record returns."""
    return RecordFingerprint("0" * 16, known.changes + 1, deleted=True, watched=False)


def ingest_request(poll: PollSource, detected: DetectedChange) -> IngestRequest:
    """Build the event of a change. Its dedupe key depends on the change only, so a repeated event is a duplicate."""
    listed = detected.listed
    state = listed.version or listed.digest
    identity = "\0".join((poll.account, poll.kind, listed.id, state, str(detected.number), detected.change))
    dedupe_key = urlsafe_b64encode(hashlib.blake2b(identity.encode(), digest_size=18).digest()).decode()
    body = msgspec.json.encode({"id": listed.id, "updated_at": listed.version})
    record = RecordRef(poll.account, poll.kind, listed.id)
    event = Event(
        EVENT_VERSION,
        new_event_id(),
        poll.source,
        f"{poll.kind}.{detected.change}",
        detected.change,
        record,
        listed.version,
        {},
        current_traceparent(None),
        body,
        identified=False,
    )
    return IngestRequest(event, dedupe_key, poll.window_ms)


def already_decided(change: DetectedChange, status: RecordStatus) -> bool:
    """Return whether the state of the change, or a later one, has been decided."""
    # A deletion has no version: the last version was decided before the deletion.
    version = change.listed.version
    if not version or change.change == "deleted":
        return False
    # Of two states of one version, the decided one may be the earlier.
    return status.version > version or (status.version == version and not change.same_version)


def polls_of(config: Config, settings: Settings) -> Mapping[str, PollSource]:
    """Return the configured polls by source."""
    delivered = {source.platform for source in config.sources.values() if source.verify is not None}
    return {
        name: PollSource(
            name,
            source.platform,
            source.poll.record,
            source.poll.every_seconds,
            int((source.dedupe_hours or settings.dedupe_hours) * 3_600_000),
            source.poll.existing == "ingest",
            source.platform in delivered,
        )
        for name, source in config.sources.items()
        if source.poll is not None
    }
