"""Writes of an attempt: the decision, then the results of effects, then the end. Fenced by the lease and batched."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, cast

from msgspec import Struct

from service.errors import LeaseLost, PermanentError
from service.settings import Settings
from service.store.connection.batching import Batcher
from service.store.connection.client import Argument, Client
from service.store.connection.connection import StoreReply
from service.store.queue.last_state import SHORT_TYPES, EncodedLastState, short_digest, short_version
from service.store.queue.outputs import Output, output_arguments
from service.store.queue.serialization import compress_history, decompress_history
from service.store.scripts import DECIDE, SETTLE

SCORE_MS_MAX = 2**53
"""Largest integer that a score holds exactly."""

LaneStep = Literal["note", "end", "bury", "defer", "postpone", "hold", "release", "late", "behind"]
LateOutcome = Literal["settled", "superseded", "running"]


class LaneHead(Struct, frozen=True):
    """The event of an attempt, with its stored state.

    - `attempts` includes this attempt; `worker_crashes` counts attempts that ended with a crash of the worker
    - `history` and `ledger` are set once the event is decided
    - `ledger` has one letter per effect: p planned, s started, d done, f failed, u outcome unknown, w deferred
    - `generation` counts reruns of its effects
    - `queued` is the number of events in its lane, including this one; 1 after it left the lane
    - `damaged` names a stored value that cannot be read, and its problem
    - `asked` identifies its last replay
    - `places` has one letter per effect: b behind an effect of an earlier event, n before one of a newer event, - else;
      empty if no effect is in an order
    - `stale_version` is the version of the last stale read, empty without one
    """

    id: str
    received_ms: int
    delivery: bytes | None
    attempts: int
    worker_crashes: int
    state: str = ""
    ledger: str = ""
    history: bytes = b""
    generation: int = 0
    queued: int = 1
    damaged: str = ""
    asked: str = ""
    places: str = ""
    stale_version: str = ""


class DecisionWrite(Struct, frozen=True):
    """Decision to write. A non-empty `outcome` ends the event; otherwise effects follow.

    `order` is the order of its effects, from `encode_order`.
    """

    job: str
    token: str
    event_id: str
    history: bytes
    ledger: str
    outcome: str
    digest: str
    version: str
    fields: bytes
    change: str
    more: bool
    order: str = ""


class SettlementWrite(Struct, frozen=True):
    """Results of effects or of an attempt, and the next step.

    `outcome` is the outcome of the event, or the reason why it waits. `stale_version` is stored with a stale read.
    `outputs` belong to effects that this write marks as done. `order` is that of the decision; the steps that move
    effects off the lane need it.
    """

    job: str
    token: str
    event_id: str
    step: LaneStep
    history: bytes = b""
    ledger: str = ""
    outcome: str = ""
    delay_ms: int = 0
    more: bool = False
    stale_version: str = ""
    outputs: Sequence[Output] = ()
    order: str = ""
    account: str = ""
    """Account to park the event under: the steps `release` and `postpone` then have no time."""


class NextEvent(Struct, frozen=True):
    """State of the job after a write: `kept` if the worker still has it, `head` if with the lane's next event.

    `places` are those of the effects of a decision, as in `LaneHead`.
    """

    kept: bool = False
    head: LaneHead | None = None
    last: EncodedLastState = None
    now_ms: int = 0
    places: str = ""


def encode_order(lane: str, effects: Iterable[tuple[str, str]]) -> str:
    """Return the order of effects for the scripts. Each is a rule id and an action id, '' if its order is free.

    Returns:
        '' if the order of all effects is free.
    """
    names = [f"{rule_id}/{action_id}" for rule_id, action_id in effects]
    return f"{lane}\n{','.join(names)}" if any(not name.endswith("/") for name in names) else ""


class Lanes:
    """Sends decisions and settlements in batches to their scripts."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._retention_ms = int(settings.decision_retention_days * 86_400_000)
        self._body_ms = int(settings.body_retention_hours * 3_600_000)
        self._record_ms = int(settings.last_state_retention_days * 86_400_000)
        # Not longer than the lease: after its end the store rejects the token.
        self._seconds_max = settings.lease_seconds
        limits = settings.store_batch_max, settings.store_batches_in_flight_max
        self._decisions: Batcher[DecisionWrite, Any] = Batcher(self._decide, *limits)
        self._settlements: Batcher[SettlementWrite, Any] = Batcher(self._settle, *limits)

    async def decide(self, decided: DecisionWrite) -> NextEvent:
        """Write a decision, before any of its effects.

        Returns:
            The state of the job.

        Raises:
            LeaseLost: Another worker has the lease; nothing was written.
            StoreUnavailable: The store did not answer for the duration of the lease.
        """
        return _next_event(await self._decisions.submit(decided), decided.event_id)

    async def settle(self, settled: SettlementWrite) -> NextEvent:
        """Write results and run the next step.

        Returns:
            The state of the job.

        Raises:
            LeaseLost: Another worker has the lease; nothing was written.
            PermanentError: The write would undo an effect that is done.
            StoreUnavailable: The store did not answer for the duration of the lease.
        """
        return _next_event(await self._settlements.submit(settled), settled.event_id)

    async def settle_late(self, settled: SettlementWrite) -> LateOutcome:
        """Write results of effects whose lease expired; the step is `late`, the outcome `LaneHead.asked`.

        Returns:
            `settled`, `superseded` if the event ended or the effects were started again, or `running` if another
            attempt is in progress; call again later.

        Raises:
            StoreUnavailable: The store did not answer; call again later.
        """
        reply = await self._client.call(SETTLE, self._settlement_arguments(settled), seconds_max=0)
        return reply[0][0].decode()

    async def drain(self) -> None:
        """Wait until no write is in progress."""
        await self._decisions.drain()
        await self._settlements.drain()

    async def _decide(self, batch: Sequence[DecisionWrite]) -> Sequence[Any]:
        arguments: list[Argument] = [self._record_ms]
        for item in batch:
            arguments += (
                item.job,
                item.token,
                item.event_id,
                compress_history(item.history),
                item.ledger,
                item.outcome,
            )
            arguments += (short_digest(item.digest), short_version(item.version), item.fields, SHORT_TYPES[item.change])
            arguments += (self._retention_ms, self._body_ms, int(item.more), item.order)
        return await self._client.call(DECIDE, arguments, seconds_max=self._seconds_max)

    async def _settle(self, batch: Sequence[SettlementWrite]) -> Sequence[Any]:
        arguments: list[Argument] = []
        for item in batch:
            arguments += self._settlement_arguments(item)
        return await self._client.call(SETTLE, arguments, seconds_max=self._seconds_max)

    def _settlement_arguments(self, item: SettlementWrite) -> list[Argument]:
        arguments: list[Argument] = [
            item.job,
            item.token,
            item.event_id,
            compress_history(item.history),
            item.ledger,
            item.step,
            item.outcome,
            item.delay_ms,
            item.order,
            self._retention_ms,
            self._body_ms,
            int(item.more),
            item.stale_version,
            item.account,
            len(item.outputs),
        ]
        for output in item.outputs:
            arguments += output_arguments(output)
        return arguments


def decode_head(row: StoreReply) -> LaneHead:
    """Return the decoded result of `start_attempt` in shared.lua. An attempt checks it for damaged values."""
    event_id, received, delivery, attempts, crashes, state, ledger, history, generation, *rest = row
    damaged, asked, places, stale_version, *queued = rest
    return LaneHead(
        id=event_id.decode(),
        received_ms=decode_score(received),
        delivery=delivery,
        attempts=attempts,
        worker_crashes=crashes,
        state=cast("bytes", state).decode(errors="replace"),
        ledger=cast("bytes", ledger).decode(errors="replace"),
        history=decompress_history(history),
        generation=generation,
        queued=queued[0] if queued else 1,
        damaged=cast("bytes", damaged).decode(errors="replace"),
        asked=cast("bytes", asked).decode(errors="replace"),
        places=cast("bytes", places).decode(),
        stale_version=cast("bytes", stale_version).decode(errors="replace"),
    )


def decode_score(score: bytes | None) -> int:
    """Return a score in ms since the epoch; 0 if there is none, or if it is no time."""
    ms = float(score or 0)
    return int(ms) if 0 <= ms <= SCORE_MS_MAX else 0


def _next_event(reply: StoreReply, event_id: str) -> NextEvent:
    status: bytes = reply[0]
    if status == b"lost":
        raise LeaseLost(event_id)
    if status == b"known":
        reason = f"a write for event {event_id} would undo an effect that is done. Please report it"
        raise PermanentError("effect_known_done", reason)
    if status == b"next":
        return NextEvent(kept=True, head=decode_head(reply[2]), last=reply[3], now_ms=reply[1])
    return NextEvent(kept=status == b"ok", places=reply[1].decode() if len(reply) > 1 else "")
