"""Putting events back, or ending dead letters for good: by a person's wish only.

What is known done stays done. A replay finishes what is unfinished (the default), or, with `rerun_done`, runs every
effect anew under a generation of its own, and so under new idempotency keys.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from msgspec import Struct

from service.settings import Settings
from service.store.connection.client import Argument, Client
from service.store.queue.arq_jobs import encode_job
from service.store.queue.ingest import EFFECTS_FUNCTION, LANE_FUNCTION
from service.store.scripts import DISCARD, REPLAY

CALL_SECONDS_MAX = 5.0

Replayed = Literal["lane", "effects", "open", "gone", "over"]
"""Where a replayed event went: to its lane, to be decided; to its effects; nowhere, since it is under way or erased, or
what was asked for was done meanwhile."""


class Replay(Struct, frozen=True):
    """One event to put back: `ledger` is what its effects would go on with, empty where it was never decided.

    `raised` is the generation it is to be raised from, None to finish what is unfinished. The store looks again: a call
    that comes late, or a second time, finds that the event has gone on and changes nothing.
    """

    event_id: str
    record: str
    ledger: str = ""
    raised: int | None = None


def plan_replay(shown: Mapping[str, Any], *, rerun_done: bool) -> Replay | str:
    """From what the store shows of an event to its replay, or to the reason why there is nothing to replay. Pure."""
    if shown["state"] in {"queued", "decided"}:
        return "it is under way"
    received = next((line for line in shown["history"] if line["entry"] == "received"), None)
    ledger: str = shown.get("ledger", "")
    if received is None:
        return _undecided(shown)
    record: str = received["record"]
    if not ledger:
        return Replay(shown["id"], record) if shown["state"] == "dead" else "it ended without effects"
    if rerun_done:
        # Those that are done as well: the new generation gives each another key.
        return Replay(shown["id"], record, "p" * len(ledger), int(shown.get("generation", 0)))
    if set(ledger) == {"d"}:
        return "every effect is known done; ask for `rerun_done` to run them again"
    return Replay(shown["id"], record, "".join("d" if letter == "d" else "p" for letter in ledger))


def _undecided(shown: Mapping[str, Any]) -> Replay | str:
    event = shown["event"]
    if event is None:
        return "its bytes cannot be read"
    record = event["record"]
    return Replay(shown["id"], f"{record.platform}:{record.kind}:{record.id}")


class Replays:
    """Carries replays and discards out."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._keep_ms = int(settings.decision_retention_days * 86_400_000)
        self._body_ms = int(settings.body_retention_hours * 3_600_000)

    async def replay(self, replays: Sequence[Replay]) -> list[Replayed]:
        """Put events back; asked once more, it finds them under way or over.

        Raises:
            StoreUnavailable, StoreFull: nothing was put back, or not known to be; may be repeated.
        """
        arguments: list[Argument] = [os.urandom(8).hex()]
        for item in replays:
            lane, effects = encode_job(LANE_FUNCTION, ()), encode_job(EFFECTS_FUNCTION, ())
            arguments += (item.event_id, item.record, lane, effects)
            arguments += ("1" if item.ledger else "", "" if item.raised is None else item.raised)
        answers: list[bytes] = await self._client.call(REPLAY, arguments, seconds_max=CALL_SECONDS_MAX)
        return [cast("Replayed", answer.decode()) for answer in answers]

    async def discard(self, event_ids: Sequence[str], reason: str) -> int:
        """End dead letters with a reason; gives how many of the ids were dead letters.

        Raises:
            StoreUnavailable: not known; may be repeated.
        """
        arguments = ("discarded", reason, self._keep_ms, self._body_ms, *event_ids)
        return await self._client.call(DISCARD, arguments, seconds_max=CALL_SECONDS_MAX)
