"""Installation record: detects a store that was emptied, replaced by an earlier copy, or is another one.

The first process of an installation writes the record, with an id and the generation 1, into the store. Each process
keeps the record that its first connection found, and uses the store only while the record is there: every script
compares it, and so does every new connection. `waybill store accept` raises the generation.
Each shard has a record. All of them have the id of the first shard and the number of shards.
"""

import uuid
from collections.abc import Sequence

from msgspec import Struct

from service.errors import ConfigError, StoreLost
from service.settings import Settings

ACCEPT = "waybill store accept"


class InstallationRecord(Struct, frozen=True):
    """Installation that uses a store. `lost` means that the store has not its data, and nobody has accepted that."""

    id: str
    generation: int
    lost: bool
    shards: int

    def encode(self) -> str:
        """Return the stored form."""
        return f"{'lost' if self.lost else 'ok'} {self.generation} {self.shards} {self.id}"


def parse_installation(stored: bytes) -> InstallationRecord | None:
    """Return a stored record; None if it cannot be read."""
    state, _, rest = stored.decode(errors="replace").partition(" ")
    generation, _, rest = rest.partition(" ")
    shards, _, name = rest.partition(" ")
    are_numbers = all(number.isascii() and number.isdecimal() for number in (generation, shards))
    if state not in {"ok", "lost"} or not are_numbers or not name:
        return None
    return InstallationRecord(name, int(generation), state == "lost", int(shards))


class InstallationCheck:
    """Record that this process works with. `expected` is its stored form, '' before the first connection.

    `first` is the check of the first shard. It must have succeeded before.
    """

    def __init__(self, settings: Settings, first: "InstallationCheck | None" = None) -> None:
        self._first = first
        self._shards = settings.shards
        self._configured_id = settings.installation_id
        self._may_initialize = settings.empty_store == "initialize"
        self._new_id = uuid.uuid4().hex
        self.known: InstallationRecord | None = None
        self.expected = ""

    def arguments(self) -> Sequence[str | int]:
        """Return the arguments of the script `installation`."""
        known = self.known
        may_initialize = known is None and self._may_initialize
        own_id = self._own_id or self._new_id
        return own_id, known.generation if known else 0, int(may_initialize), self._shards

    def use(self, stored: bytes) -> None:
        """Compare the record that the script returned, and keep it.

        Raises:
            StoreLost: The store has not the data of this installation.
            ConfigError: The store has another number of shards.
        """
        own_id = self._own_id
        record = parse_installation(stored)
        if record is None:
            reason = f"its installation record cannot be read: {stored[:100]!r}"
            raise StoreLost(_message(reason, f"{ACCEPT} {own_id or 'ID'}"))
        require_number(record, self._shards)
        if own_id and record.id != own_id:
            owners = f"it belongs to the installation {record.id}, and this process to {own_id}"
            reason = f"{owners}: check WAYBILL_REDIS_URL and WAYBILL_KEY_PREFIX"
            raise StoreLost(_message(reason, f"{ACCEPT} {own_id}"))
        if record.lost:
            data = f"the data of installation {record.id}, generation {record.generation}"
            raise StoreLost(_message(f"it was emptied or is an earlier copy, without {data}", ACCEPT))
        self.known, self.expected = record, record.encode()

    @property
    def _own_id(self) -> str:
        first = self._first.known if self._first else None
        return self.known.id if self.known else first.id if first else self._configured_id


def require_number(record: InstallationRecord, shards: int) -> None:
    """Check the number of shards.

    Raises:
        ConfigError: The store has another number.
    """
    if record.shards == shards:
        return
    reason = f"is {shards}, but the installation {record.id} in the store has {record.shards} shards"
    fix = f"set WAYBILL_SHARDS={record.shards}; the number cannot change after the first start"
    raise ConfigError("WAYBILL_SHARDS", reason, fix)


def _message(reason: str, command: str) -> str:
    return f"the store is not used: {reason}. Restore the store, or accept its data and the loss with: {command}"
