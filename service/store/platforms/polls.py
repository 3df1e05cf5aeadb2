"""State of polls: the lease, the cursor of the pass, and a fingerprint of each listed record.

A fingerprint has 8 bytes of a digest, a count of changes and two flags. Fingerprints are in many small hashes, which
the server stores compactly: about 40 bytes per record with ids of 20 characters.
"""

import struct
import zlib
from collections.abc import Mapping, Sequence

from msgspec import Struct

from service.errors import LeaseLost
from service.store.connection.client import Argument, Client
from service.store.connection.connection import StoreReply
from service.store.queue.last_state import long_version
from service.store.scripts import POLL, RECORD_STATUS

BUCKETS = 4_096
BUCKETS_PER_CALL_MAX = 256
"""Maximum number of buckets per call."""

_ENTRY = struct.Struct(">8sHB")
_DELETED, _WATCHED = 1, 2


class RecordFingerprint(Struct, frozen=True):
    """Fingerprint of a record: first 16 hex digits of a digest, count of its changes, two flags.

    `watched`: the record must be listed again by every pass.
    """

    digest: str
    changes: int = 0
    deleted: bool = False
    watched: bool = True

    def entry(self) -> bytes:
        """Return the fingerprint as 11 bytes."""
        flags = _DELETED * self.deleted + _WATCHED * self.watched
        return _ENTRY.pack(bytes.fromhex(self.digest[:16]), self.changes % 65_536, flags)


class RecordStatus(Struct, frozen=True):
    """Status of a record: version of its last decided state (empty if none), number of its queued events."""

    version: str
    queued: int


class PollLease(Struct, frozen=True):
    """Lease of a poll: cursor to continue from (None: start), number of the pass, counts of the pass so far."""

    cursor: str | None
    number: int
    records_listed: int
    changed: int
    missed: int


class Polls:
    """State of the polls of all sources."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def claim(self, source: str, token: str, lease_seconds: float) -> PollLease | float:
        """Claim the lease of a poll.

        Returns:
            The lease, or the seconds to wait before the next call.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        reply = await self._call(source, token, lease_seconds, "claim")
        if reply[0] != b"claimed":
            # Never 0: the caller would call again without a delay.
            return max(reply[1], 1) / 1000
        cursor: bytes = reply[1]
        return PollLease(cursor.decode(errors="replace") or None, *reply[2:])

    async def fingerprints(
        self, source: str, token: str, lease_seconds: float, ids: Sequence[str]
    ) -> Mapping[str, RecordFingerprint | None]:
        """Return the stored fingerprints of records.

        Raises:
            LeaseLost: Another worker has the lease.
            StoreUnavailable: The store does not answer.
        """
        pairs = [part for record_id in ids for part in (bucket_of(record_id), record_id)]
        _, *flat = await self._call(source, token, lease_seconds, "fingerprints", *pairs)
        return {record_id: _decode(entry) for record_id, entry in zip(ids, flat, strict=True)}

    async def record_statuses(self, lanes: Sequence[str]) -> list[RecordStatus]:
        """Return the status of records, by the names of their lanes, which must be on this store.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        flat = await self._client.call(RECORD_STATUS, lanes, seconds_max=5)
        return [RecordStatus(long_version(flat[i].decode()), flat[i + 1]) for i in range(0, len(flat), 2)]

    async def save_page(
        self, source: str, token: str, lease_seconds: float, lease: PollLease, entries: Mapping[str, RecordFingerprint]
    ) -> None:
        """Save the cursor and counts of a pass, and the fingerprints of a page of records.

        Raises:
            LeaseLost: Another worker has the lease.
            StoreUnavailable: The store does not answer; safe to repeat.
        """
        parts: list[Argument] = [lease.cursor or "", lease.records_listed, lease.changed, lease.missed]
        for record_id, fingerprint in entries.items():
            parts += (bucket_of(record_id), record_id, fingerprint.entry())
        await self._call(source, token, lease_seconds, "save_page", *parts)

    async def known_records(self, source: str, token: str, lease_seconds: float) -> dict[str, RecordFingerprint]:
        """Return the fingerprints of all records of a source, by record id.

        Raises:
            LeaseLost: Another worker has the lease.
            StoreUnavailable: The store does not answer.
        """
        found: dict[str, RecordFingerprint] = {}
        for first in range(0, BUCKETS, BUCKETS_PER_CALL_MAX):
            last = first + BUCKETS_PER_CALL_MAX - 1
            _, *flat = await self._call(source, token, lease_seconds, "bucket_range", first, last)
            for i in range(0, len(flat), 2):
                fingerprint = _decode(flat[i + 1])
                if fingerprint is not None:
                    found[flat[i].decode(errors="replace")] = fingerprint
        return found

    async def release(self, source: str, token: str, lease_seconds: float, seconds: float) -> None:
        """Release the lease within a pass. The pass may continue after `seconds`.

        Raises:
            LeaseLost: Another worker has the lease.
            StoreUnavailable: The store does not answer.
        """
        await self._call(source, token, lease_seconds, "release", int(seconds * 1000))

    async def end(self, source: str, token: str, lease_seconds: float, seconds: float) -> None:
        """End a pass. The next one may start after `seconds`.

        Raises:
            LeaseLost: Another worker has the lease.
            StoreUnavailable: The store does not answer.
        """
        await self._call(source, token, lease_seconds, "end", int(seconds * 1000))

    async def _call(self, source: str, token: str, lease_seconds: float, step: str, *rest: Argument) -> StoreReply:
        arguments = (source, token, int(lease_seconds * 1000), step, *rest)
        reply = await self._client.call(POLL, arguments, seconds_max=5)
        if reply and reply[0] == b"lost":
            raise LeaseLost(f"another worker polls {source} now")
        return reply


def bucket_of(record_id: str) -> int:
    """Return the number of the hash with the fingerprint of a record."""
    return zlib.crc32(record_id.encode()) % BUCKETS


def _decode(entry: bytes) -> RecordFingerprint | None:
    if len(entry) != _ENTRY.size:
        return None
    digest, changes, flags = _ENTRY.unpack(entry)
    return RecordFingerprint(digest.hex(), changes, bool(flags & _DELETED), bool(flags & _WATCHED))
