"""Replay of ended events and dead letters, and discarding of dead letters. Operators request both.

A replay runs the unfinished effects. With `rerun_done` it runs all effects in a new generation, and so under new
idempotency keys.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from msgspec import Struct

from service.settings import Settings
from service.store.connection.client import Argument, Client
from service.store.management.events import read_number
from service.store.queue.arq_jobs import encode_job
from service.store.queue.ingest import EFFECTS_FUNCTION, LANE_FUNCTION
from service.store.scripts import DISCARD, REPLAY

CALL_SECONDS_MAX = 5.0

Replayed = Literal["lane", "effects", "open", "gone", "over"]
"""Result of a replay: moved to its lane, moved to its effects, or unchanged: `open` (in progress), `gone` (erased) or
`over` (nothing is left to do)."""


class Replay(Struct, frozen=True):
    """Event to replay. `ledger` is the ledger to continue with, empty if the event was not decided.

    `generation` is the current generation if all effects run again, None to run unfinished effects only. The store
    checks the event again: a late or repeated call changes nothing.
    """

    event_id: str
    record: str
    ledger: str = ""
    generation: int | None = None


def plan_replay(stored: Mapping[str, Any], *, rerun_done: bool) -> Replay | str:
    """Return the replay of an event that `EventReader.get` returned, or the reason why it cannot be replayed."""
    if stored["state"] in {"queued", "decided"}:
        return "it is in progress"
    received = next((line for line in stored["history"] if line["entry"] == "received"), None)
    ledger: str = stored.get("ledger", "")
    if received is None:
        return _plan_undecided(stored)
    record: str = received["record"]
    if not ledger:
        is_undecided = stored["state"] == "dead" or stored["outcome"] == "stale"
        return Replay(stored["id"], record) if is_undecided else "it ended without effects"
    if rerun_done:
        return _plan_rerun(stored, record, ledger)
    if set(ledger) <= {"d", "x"}:
        return "every effect is done; use `rerun_done` to run them again"
    return Replay(stored["id"], record, "".join(letter if letter in "dx" else "p" for letter in ledger))


def _plan_undecided(stored: Mapping[str, Any]) -> Replay | str:
    event = stored["event"]
    if event is None:
        return "its body is damaged or no longer stored"
    record = event["record"]
    return Replay(stored["id"], f"{record.platform}:{record.kind}:{record.id}")


def _plan_rerun(stored: Mapping[str, Any], record: str, ledger: str) -> Replay | str:
    generation = str(stored.get("generation", 0))
    if generation != str(read_number(generation)):
        return "its count of reruns is damaged, so its effects get no new keys; replay it without `rerun_done`"
    # Effects that are done run too: the new generation gives each a new key.
    return Replay(stored["id"], record, "p" * len(ledger), int(generation))


class Replays:
    """Replays events and discards dead letters."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._retention_ms = int(settings.decision_retention_days * 86_400_000)
        self._body_ms = int(settings.body_retention_hours * 3_600_000)

    async def replay(self, replays: Sequence[Replay]) -> list[Replayed]:
        """Replay events.

        Returns:
            The results, in the order of `replays`.

        Raises:
            StoreUnavailable: The events may not be replayed; safe to repeat.
            StoreFull: The store is at its memory limit; nothing was written.
        """
        arguments: list[Argument] = [os.urandom(8).hex()]
        for item in replays:
            lane, effects = encode_job(LANE_FUNCTION, ()), encode_job(EFFECTS_FUNCTION, ())
            arguments += (item.event_id, item.record, lane, effects)
            arguments += ("1" if item.ledger else "", "" if item.generation is None else item.generation)
        results: list[bytes] = await self._client.call(REPLAY, arguments, seconds_max=CALL_SECONDS_MAX)
        return [cast("Replayed", result.decode()) for result in results]

    async def discard(self, event_ids: Sequence[str], reason: str, days_min: float = 0.0) -> int:
        """Discard dead letters. They are kept as other ended events, and for `days_min` at least.

        Returns:
            The number of ids that were dead letters.

        Raises:
            StoreUnavailable: The dead letters may not be discarded; safe to repeat.
        """
        retention_ms = max(self._retention_ms, int(days_min * 86_400_000))
        arguments = ("discarded", reason, retention_ms, self._body_ms, *event_ids)
        return await self._client.call(DISCARD, arguments, seconds_max=CALL_SECONDS_MAX)
