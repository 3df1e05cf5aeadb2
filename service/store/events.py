"""Reading what the store knows of events: one whole, or a page of an index. Never on the hot path."""

import json
from typing import Any, Literal

import msgspec

from service.store.client import Client
from service.store.ingest import decode_event
from service.store.keys import Keys

Index = Literal["open", "dead", "ended"]


class Events:
    """Shows events. Bodies are given as they came; who shows them to people redacts."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def show(self, event_id: str) -> dict[str, Any] | None:
        """Everything the store has of an event, None if it has nothing.

        `event` is the event as it arrived (None once its body was dropped, or where it cannot be read), `state`
        waiting, decided, ended or dead, `story` the list of what happened, oldest first.

        Raises:
            StoreUnavailable: no answer.
        """
        delivery: bytes | None = await self._client.command("GET", self._keys.delivery(event_id))
        flat: list[bytes] = await self._client.command("HGETALL", self._keys.event(event_id))
        story: bytes | None = await self._client.command("GET", self._keys.story(event_id))
        if delivery is None and not flat:
            return None
        texts = [item.decode() for item in flat]
        fields = dict(zip(texts[::2], texts[1::2], strict=True))
        return {
            "id": event_id,
            "event": _read(delivery) if delivery else None,
            "state": fields.pop("state", "waiting"),
            **fields,
            "story": [json.loads(line) for line in (story or b"").splitlines()],
        }

    async def page(self, index: Index, events_max: int, before_ms: int | None = None) -> list[tuple[str, int]]:
        """At most `events_max` ids of an index with their moments in ms, newest first, before `before_ms`.

        Raises:
            StoreUnavailable: no answer.
        """
        highest = f"({before_ms}" if before_ms is not None else "+inf"
        flat: list[bytes] = await self._client.command(
            "ZRANGE", self._keys.named(index), highest, "-inf", "BYSCORE", "REV", "LIMIT", 0, events_max, "WITHSCORES"
        )
        return [(flat[i].decode(), int(float(flat[i + 1]))) for i in range(0, len(flat), 2)]


def _read(delivery: bytes) -> dict[str, Any] | None:
    try:
        return msgspec.structs.asdict(decode_event(delivery))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
