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
    """A detected change. `number` counts the changes of the record, so that a state that returns is a new change."""

    listed: ListedRecord
    change: ChangeType
    number: int


def detect_change(listed: ListedRecord, known: RecordFingerprint | None, *, first: bool) -> DetectedChange | None:
    """Return the change of a record, or None if it has not changed. On the `first` pass no record is new."""
    current = fingerprint(listed, known)
    if known is None:
        return None if first else DetectedChange(listed, "deleted" if listed.deleted else "created", current.changes)
    if current.digest == known.digest:
        return None
    if listed.deleted != known.deleted:
        return DetectedChange(listed, "deleted" if listed.deleted else "created", current.changes)
    return DetectedChange(listed, "updated", current.changes)


def fingerprint(listed: ListedRecord, known: RecordFingerprint | None) -> RecordFingerprint:
    """Return the fingerprint of a listed record: a digest of its version, or of its content without a version."""
    state = f"{listed.version}:{listed.deleted}" if listed.version is not None else listed.digest
    digest = hashlib.sha256(state.encode()).hexdigest()[:16]
    changes = 0 if known is None else known.changes + (known.digest != digest)
    return RecordFingerprint(digest, changes, listed.deleted, listed.watched)


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
        None,
        body,
        identified=False,
    )
    return IngestRequest(event, dedupe_key, poll.window_ms)


def already_decided(change: DetectedChange, status: RecordStatus) -> bool:
    """Return whether the state of the change, or a later one, has been decided."""
    # A deletion has no version: the last version was decided before the deletion.
    version = change.listed.version
    return bool(version) and status.version >= str(version) and change.change != "deleted"


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
