"""Records of the mocks: shipped examples with the requested id, and records that were set or deleted.

An example is `mock_data/<kind>.json` in the platform's folder, a variant of it `mock_data/<kind>.<variant>.json`. An id
that begins with the variant and a hyphen selects the variant: the purchase order `complete-7` is fully received. An id
that begins with `missing-` does not exist. Examples are split at the id once, not for each request.
"""

import functools
from collections.abc import Mapping
from importlib.resources import files
from typing import cast

import msgspec

MISSING = "missing"
CHANGE_TIMES = frozenset({"updated_at", "updatedAt", "lastModifiedAt"})
"""Names of modification times in the records of all platforms."""
EXAMPLE_IDS = ("1", "2", "3")
"""Ids of the records in a list until a record of its kind is set."""

_TEXT = b"{id}"
_WHOLE = b'"{id:int}"'


class Example:
    """One example, split at its id: as text at `{id}`, as a number at `"{id:int}"`."""

    def __init__(self, text: bytes) -> None:
        self._halves = [piece.split(_TEXT) for piece in msgspec.json.format(text, indent=0).split(_WHOLE)]

    def render(self, record_id: str) -> bytes:
        """Return the example with an id."""
        text = msgspec.json.encode(record_id)[1:-1]
        whole = text if record_id.isascii() and record_id.isdigit() else b'"' + text + b'"'
        return whole.join(text.join(pieces) for pieces in self._halves)


class Catalog:
    """Records of all platforms. `id_keys` names the platforms and, by kind, the id of a record where it is not `id`."""

    def __init__(self, id_keys: Mapping[str, Mapping[str, str]]) -> None:
        self._id_keys = id_keys
        self._examples = {
            f"{platform}.{name}": example for platform in id_keys for name, example in _shipped(platform).items()
        }
        self._set: dict[tuple[str, str, str], bytes | None] = {}
        self._changed_at: dict[str, str] = {}

    def get(self, platform: str, kind: str, record_id: str) -> bytes | None:
        """Return a record's JSON without envelope, None if it does not exist."""
        key = (platform, kind, record_id)
        if key in self._set:
            return self._with_change_time(record_id, self._set[key])
        variant = record_id.partition("-")[0]
        if variant == MISSING:
            return None
        example = self._examples.get(f"{platform}.{kind}.{variant}") or self._examples.get(f"{platform}.{kind}")
        return self._with_change_time(record_id, example.render(record_id)) if example else None

    def mark_changed(self, record_id: str, at: str) -> None:
        """Set the modification times of all records with an id."""
        self._changed_at[record_id] = at

    def all(self, platform: str, kind: str) -> list[bytes]:
        """Return the records of a kind that were set, oldest first; examples if none was ever set."""
        ids = [key[2] for key in self._set if key[:2] == (platform, kind)] or EXAMPLE_IDS
        return [record for record_id in ids if (record := self.get(platform, kind, record_id)) is not None]

    def put(self, platform: str, kind: str, record_id: str, record: dict[str, object]) -> None:
        """Set a record; its own id becomes the one in the path."""
        own = {self.id_key(platform, kind): record_id}
        self._changed_at.pop(record_id, None)
        self._set[platform, kind, record_id] = msgspec.json.encode({**record, **own})

    def delete(self, platform: str, kind: str, record_id: str) -> None:
        """Delete a record."""
        self._set[platform, kind, record_id] = None

    def _with_change_time(self, record_id: str, record: bytes | None) -> bytes | None:
        if record is None or record_id not in self._changed_at:
            return record
        changed = msgspec.json.decode(record)
        _set_change_times(changed, self._changed_at[record_id])
        return msgspec.json.encode(changed)

    def id_key(self, platform: str, kind: str) -> str:
        """Return the name of a record's id."""
        return self._id_keys[platform].get(kind, "id")

    def has(self, platform: str, kind: str) -> bool:
        """Return True if there is such a kind."""
        return f"{platform}.{kind}" in self._examples

    def error(self, platform: str, status: int, key: str = "") -> bytes:
        """Return a platform's error body; `key` is the key that some platforms repeat."""
        example = self._examples[f"{platform}.error.{status}"].render("")
        return example.replace(b"{key}", msgspec.json.encode(key)[1:-1])


def _set_change_times(node: object, at: str) -> None:
    if isinstance(node, dict):
        fields = cast("dict[str, object]", node)
        for value in fields.values():
            _set_change_times(value, at)
        fields |= dict.fromkeys(CHANGE_TIMES & fields.keys(), at)
    elif isinstance(node, list):
        for value in cast("list[object]", node):
            _set_change_times(value, at)


@functools.cache
def _shipped(platform: str) -> Mapping[str, Example]:
    folder = files(f"service.platforms.{platform}") / "mock_data"
    examples = (file for file in folder.iterdir() if file.name.endswith(".json"))
    return {file.name.removesuffix(".json"): Example(file.read_bytes()) for file in examples}
