"""Damaged keys: another program changed the type of a key. It is set aside under another name, and the call goes on.

`repairing.lua` sets keys aside. Nothing of them is deleted. The sweep rebuilds the indexes of events.
"""

from collections.abc import Sequence

import structlog
from msgspec import Struct


class DamagedKey(Struct, frozen=True):
    """Key that had `found_type` instead of `expected_type`, and the name under which it was set aside."""

    key: str
    found_type: str
    expected_type: str
    moved_to: str

    @property
    def fix(self) -> str:
        """Return the instructions for the operator."""
        return (
            f"find the program that writes {self.key}, and give it names without WAYBILL_KEY_PREFIX or another "
            f"database; inspect the copy, then delete it: redis-cli UNLINK {self.moved_to}"
        )


def decode_damaged_keys(flat: Sequence[bytes]) -> list[DamagedKey]:
    """Return the keys in the reply of the script `damaged_keys`."""
    texts = [each.decode(errors="replace") for each in flat]
    found: list[DamagedKey] = []
    for moved_to, value in zip(texts[::2], texts[1::2], strict=True):
        key, found_type, expected_type, *_ = [*value.split("\n"), "", "", ""]
        found.append(DamagedKey(key, found_type, expected_type, moved_to))
    return found


class DamageLog:
    """Log lines of damaged keys, one for each in a process."""

    def __init__(self) -> None:
        self._logged: set[tuple[bytes, bytes]] = set()

    def write(self, flat: Sequence[bytes]) -> None:
        """Log the keys in the reply of `damaged_keys` that were not logged before. The store limits their number."""
        listed = set(zip(flat[::2], flat[1::2], strict=True))
        for entry in sorted(listed - self._logged):
            (damaged,) = decode_damaged_keys(entry)
            structlog.get_logger().error(
                "store.key_damaged",
                store_key=damaged.key,
                found_type=damaged.found_type,
                expected_type=damaged.expected_type,
                moved_to=damaged.moved_to,
                fix=damaged.fix,
            )
        self._logged = listed


def is_damage(error: Exception) -> bool:
    """Return whether a command failed because its key has another type, or is no number."""
    text = str(error)
    return "WRONGTYPE" in text or "value is not an integer" in text


def foreign_key_problem(error: str) -> str:
    """Return the problem and its fix if a key of another name than Waybill's has another type; otherwise ''."""
    code, _, rest = error.partition(" ")
    if code != "FOREIGN":
        return ""
    key, found, expected, *_ = [*rest.split(" "), "", "", ""]
    return (
        f"the key {key} is a {found}, not a {expected}: another application uses it. Give it other names, or "
        f"rename the key: redis-cli RENAME {key} {key}:foreign"
    )
