"""What the sandbox answers: shipped examples with the asked id put in, and records that were set or deleted.

An example is `data/<platform>.<kind>.json`, a variant of it `data/<platform>.<kind>.<variant>.json`, chosen by an id
that begins with the variant and a hyphen: the purchase order `complete-7` is fully received, any other is short. An id
that begins with `missing-` is nowhere. Nothing is parsed per request: an example is cut at its id once, then joined.
"""

from collections.abc import Iterator
from importlib.resources import files

import msgspec

MISSING = "missing"
EXAMPLE_IDS = ("1", "2", "3")
"""What a list shows as long as no record of its kind was set."""

ID_KEYS = {
    ("flow_retail", "customer"): "customerUid",
    ("flow_retail", "purchase_order"): "purchaseOrderUid",
    ("flow_retail", "tenant"): "tenantUid",
    ("open_food_network", "order"): "number",
    ("pack_cloud", "rule_type"): "code",
    ("pack_cloud", "integration_action"): "code",
}
"""How a record names its own id where that is not `id`."""

_TEXT = b"{id}"
_WHOLE = b'"{id:int}"'


class Example:
    """One shipped answer, cut where its id goes: as text at `{id}`, as a number at `"{id:int}"`."""

    def __init__(self, text: bytes) -> None:
        self._halves = [piece.split(_TEXT) for piece in msgspec.json.format(text, indent=0).split(_WHOLE)]

    def render(self, record_id: str) -> bytes:
        """Give the answer with an id in it."""
        text = msgspec.json.encode(record_id)[1:-1]
        whole = text if record_id.isascii() and record_id.isdigit() else b'"' + text + b'"'
        return whole.join(text.join(pieces) for pieces in self._halves)


class Catalog:
    """Every record of every platform."""

    def __init__(self) -> None:
        self._examples = {name: Example(text) for name, text in _shipped()}
        self._set: dict[tuple[str, str, str], bytes | None] = {}

    def get(self, platform: str, kind: str, record_id: str) -> bytes | None:
        """Give a record's JSON without envelope, None if it is nowhere."""
        key = (platform, kind, record_id)
        if key in self._set:
            return self._set[key]
        variant = record_id.partition("-")[0]
        if variant == MISSING:
            return None
        example = self._examples.get(f"{platform}.{kind}.{variant}") or self._examples.get(f"{platform}.{kind}")
        return example.render(record_id) if example else None

    def all(self, platform: str, kind: str) -> list[bytes]:
        """Give every record of a kind that was set, in the order they were set first; examples where none ever was."""
        known = [(key[2], record) for key, record in self._set.items() if key[:2] == (platform, kind)]
        if known:
            return [record for _, record in known if record is not None]
        example = self._examples.get(f"{platform}.{kind}")
        return [example.render(record_id) for record_id in EXAMPLE_IDS] if example else []

    def put(self, platform: str, kind: str, record_id: str, record: dict[str, object]) -> None:
        """Set a record; its own id becomes the one in the path."""
        own = {ID_KEYS.get((platform, kind), "id"): record_id}
        self._set[platform, kind, record_id] = msgspec.json.encode({**record, **own})

    def delete(self, platform: str, kind: str, record_id: str) -> None:
        """Make a record be nowhere."""
        self._set[platform, kind, record_id] = None

    def has(self, platform: str, kind: str) -> bool:
        """Say whether there is such a kind."""
        return f"{platform}.{kind}" in self._examples

    def error(self, platform: str, status: int, key: str = "") -> bytes:
        """Give a platform's words for an error; `key` is what some of them repeat."""
        example = self._examples[f"{platform}.error.{status}"].render("")
        return example.replace(b"{key}", msgspec.json.encode(key)[1:-1])


def _shipped() -> Iterator[tuple[str, bytes]]:
    for file in (files("service.sandbox") / "data").iterdir():
        if file.name.endswith(".json"):
            yield file.name.removesuffix(".json"), file.read_bytes()
