"""What a list shows, against what was seen before: which records changed, and the event of each change. Pure.

A change is named by the record's new state and the count of its changes, so that whoever finds it makes the same event.
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
    """One polled source, its claims kept for `window_ms`.

    `existing`: the first pass takes in all there is. `beside`: deliveries tell of the same account as well, so that a
    change they did not tell is a miss.
    """

    source: str
    account: str
    kind: str
    every_seconds: float
    window_ms: int
    existing: bool = False
    beside: bool = False


class DetectedChange(Struct, frozen=True):
    """A change that a list shows. `turn` counts the record's changes, so that a state that comes back is a new one."""

    listed: ListedRecord
    change: ChangeType
    turn: int


def detect_change(listed: ListedRecord, known: RecordFingerprint | None, *, first: bool) -> DetectedChange | None:
    """Say what changed, None if nothing did. On the `first` pass all there is was there before."""
    seen = fingerprint(listed, known)
    if known is None:
        return None if first else DetectedChange(listed, "deleted" if listed.deleted else "created", seen.changes)
    if seen.digest == known.digest:
        return None
    if listed.deleted != known.deleted:
        return DetectedChange(listed, "deleted" if listed.deleted else "created", seen.changes)
    return DetectedChange(listed, "updated", seen.changes)


def fingerprint(listed: ListedRecord, known: RecordFingerprint | None) -> RecordFingerprint:
    """Give what is to be remembered: the version where the platform has one, else the digest of what the list shows."""
    state = f"{listed.version}:{listed.deleted}" if listed.version is not None else listed.digest
    digest = hashlib.sha256(state.encode()).hexdigest()[:16]
    changes = 0 if known is None else known.changes + (known.digest != digest)
    return RecordFingerprint(digest, changes, listed.deleted, listed.watched)


def tombstone(known: RecordFingerprint) -> RecordFingerprint:
    """What is remembered of a record that is gone: its count, so that one that comes back is no old change."""
    return RecordFingerprint("0" * 16, known.changes + 1, deleted=True, watched=False)


def ingest_request(poll: PollSource, found: DetectedChange) -> IngestRequest:
    """Make the event of a change; the claim is the change's own, whoever finds it and how often."""
    listed = found.listed
    state = listed.version or listed.digest
    words = "\0".join((poll.account, poll.kind, listed.id, state, str(found.turn), found.change))
    claim = urlsafe_b64encode(hashlib.blake2b(words.encode(), digest_size=18).digest()).decode()
    body = msgspec.json.encode({"id": listed.id, "updated_at": listed.version})
    record = RecordRef(poll.account, poll.kind, listed.id)
    event = Event(
        EVENT_VERSION,
        new_event_id(),
        poll.source,
        f"{poll.kind}.{found.change}",
        found.change,
        record,
        listed.version,
        {},
        None,
        body,
        identified=False,
    )
    return IngestRequest(event, claim, poll.window_ms)


def already_decided(change: DetectedChange, standing: RecordStatus) -> bool:
    """Whether the change's state, or a later one, was decided already."""
    # A deletion has no version of its own: the last one was decided while the record was still there.
    version = change.listed.version
    return bool(version) and standing.version >= str(version) and change.change != "deleted"


def polls_of(config: Config, settings: Settings) -> Mapping[str, PollSource]:
    """Give the polls that are configured, by their sources."""
    sent = {source.platform for source in config.sources.values() if source.verify is not None}
    return {
        name: PollSource(
            name,
            source.platform,
            source.poll.record,
            source.poll.every_seconds,
            int((source.dedupe_hours or settings.dedupe_hours) * 3_600_000),
            source.poll.existing == "ingest",
            source.platform in sent,
        )
        for name, source in config.sources.items()
        if source.poll is not None
    }
