"""What polls remember: who polls, how far a pass has come, and what was last seen of each record, in a few bytes.

A record's entry holds eight bytes of the digest of what was seen, a count of its changes, and two marks; entries lie in
many small hashes, which the server packs tightly: about 40 bytes a record with ids of 20 characters.
"""

import struct
import zlib
from collections.abc import Mapping, Sequence

from msgspec import Struct

from service.errors import LeaseLost
from service.store.connection.client import Argument, Client
from service.store.connection.connection import StoreReply
from service.store.scripts import POLL, RECORD_STATUS

BUCKETS = 4_096
BUCKETS_PER_CALL_MAX = 256
"""Buckets read in one call."""

_ENTRY = struct.Struct(">8sHB")
_DELETED, _WATCHED = 1, 2


class RecordFingerprint(Struct, frozen=True):
    """What was last seen of a record: the beginning of a digest in hex, the count of its changes, two marks.

    `watched`: every pass is to show it again.
    """

    digest: str
    changes: int = 0
    deleted: bool = False
    watched: bool = True

    def entry(self) -> bytes:
        """Write it down."""
        marks = _DELETED * self.deleted + _WATCHED * self.watched
        return _ENTRY.pack(bytes.fromhex(self.digest[:16]), self.changes % 65_536, marks)


class RecordStatus(Struct, frozen=True):
    """How a record stands: the version of its last decided state, empty where there is none, and its waiting events."""

    version: str
    waiting: int


class PollLease(Struct, frozen=True):
    """Leave to poll: where to go on (None: from the beginning), the number of the pass, what it counted so far."""

    cursor: str | None
    number: int
    records_listed: int
    changed: int
    missed: int


class Polls:
    """The polls of all sources. Every method raises StoreUnavailable where the store does not answer."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def claim(self, source: str, token: str, lease_seconds: float) -> PollLease | float:
        """Ask to poll; else how many seconds to wait before asking again.

        Raises:
            StoreUnavailable: no answer.
        """
        answer = await self._call(source, token, lease_seconds, "claim")
        if answer[0] != b"go":
            # Never 0, or the caller would ask again without a pause.
            return max(answer[1], 1) / 1000
        cursor: bytes = answer[1]
        return PollLease(cursor.decode() or None, *answer[2:])

    async def known(
        self, source: str, token: str, lease_seconds: float, ids: Sequence[str]
    ) -> Mapping[str, RecordFingerprint | None]:
        """Give what was last seen of records.

        Raises:
            LeaseLost: another one polls now.
            StoreUnavailable: no answer.
        """
        pairs = [part for record_id in ids for part in (bucket_of(record_id), record_id)]
        _, *flat = await self._call(source, token, lease_seconds, "known", *pairs)
        return {record_id: _read(entry) for record_id, entry in zip(ids, flat, strict=True)}

    async def standing(self, lanes: Sequence[str]) -> list[RecordStatus]:
        """Give how records stand, by the names of their lanes, of which this must be the store.

        Raises:
            StoreUnavailable: no answer.
        """
        flat = await self._client.call(RECORD_STATUS, lanes, seconds_max=5)
        return [RecordStatus(flat[i].decode(), flat[i + 1]) for i in range(0, len(flat), 2)]

    async def save_page(
        self, source: str, token: str, lease_seconds: float, turn: PollLease, entries: Mapping[str, RecordFingerprint]
    ) -> None:
        """Write down how far the pass has come, and what was seen.

        Raises:
            LeaseLost: another one polls now.
            StoreUnavailable: no answer; may be repeated.
        """
        parts: list[Argument] = [turn.cursor or "", turn.records_listed, turn.changed, turn.missed]
        for record_id, seen in entries.items():
            parts += (bucket_of(record_id), record_id, seen.entry())
        await self._call(source, token, lease_seconds, "note", *parts)

    async def known_records(self, source: str, token: str, lease_seconds: float) -> dict[str, RecordFingerprint]:
        """Give all that is known of a source's records, by their ids.

        Raises:
            LeaseLost: another one polls now.
            StoreUnavailable: no answer.
        """
        found: dict[str, RecordFingerprint] = {}
        for first in range(0, BUCKETS, BUCKETS_PER_CALL_MAX):
            _, *flat = await self._call(source, token, lease_seconds, "shelf", first, first + BUCKETS_PER_CALL_MAX - 1)
            for i in range(0, len(flat), 2):
                seen = _read(flat[i + 1])
                if seen is not None:
                    found[flat[i].decode()] = seen
        return found

    async def release(self, source: str, token: str, lease_seconds: float, seconds: float) -> None:
        """Stop within a pass; somebody may go on after so many seconds.

        Raises:
            LeaseLost: another one polls now.
            StoreUnavailable: no answer.
        """
        await self._call(source, token, lease_seconds, "leave", int(seconds * 1000))

    async def end(self, source: str, token: str, lease_seconds: float, seconds: float) -> None:
        """End a pass; the next one may begin after so many seconds.

        Raises:
            LeaseLost: another one polls now.
            StoreUnavailable: no answer.
        """
        await self._call(source, token, lease_seconds, "ended", int(seconds * 1000))

    async def _call(self, source: str, token: str, lease_seconds: float, step: str, *rest: Argument) -> StoreReply:
        arguments = (source, token, int(lease_seconds * 1000), step, *rest)
        answer = await self._client.call(POLL, arguments, seconds_max=5)
        if answer and answer[0] == b"lost":
            raise LeaseLost(f"another worker polls {source} now")
        return answer


def bucket_of(record_id: str) -> int:
    """The small hash of a source in which a record's entry lies."""
    return zlib.crc32(record_id.encode()) % BUCKETS


def _read(entry: bytes) -> RecordFingerprint | None:
    if len(entry) != _ENTRY.size:
        return None
    digest, changes, marks = _ENTRY.unpack(entry)
    return RecordFingerprint(digest.hex(), changes, bool(marks & _DELETED), bool(marks & _WATCHED))
