"""What a run writes about the event it holds: the decision, then the effects, then the end; fenced and batched."""

from collections.abc import Sequence
from typing import Any, Literal, cast

from msgspec import Struct

from service.errors import LeaseLost, PermanentError
from service.settings import Settings
from service.store.connection.batching import Batcher
from service.store.connection.client import Argument, Client
from service.store.connection.connection import StoreReply
from service.store.queue.arq_jobs import encode_job
from service.store.queue.ingest import EFFECTS_FUNCTION
from service.store.queue.last_state import LastState, read_last_state, short_digest
from service.store.queue.outputs import Output, output_arguments
from service.store.queue.serialization import compress_history, decompress_history
from service.store.scripts import DECIDE, SETTLE

LaneStep = Literal["note", "end", "bury", "defer", "postpone", "hold", "release"]


class LaneHead(Struct, frozen=True):
    """The event a run is to work on, as the store has it.

    `attempts` counts this run, `worker_crashes` the runs that ended without a word. `history` is there once it was
    decided, and `ledger` then has one letter an effect: p planned, s started, d done, f failed, u outcome unknown,
    w deferred. `generation` is how often a person asked for its effects again. `waiting` is how many events its lane
    held at that moment, this one included; 1 where it has left its lane.
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
    waiting: int = 1


class DecisionWrite(Struct, frozen=True):
    """A decision to write. `outcome` ends the event at once; empty where effects follow."""

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


class SettlementWrite(Struct, frozen=True):
    """What became of the effects, or of the attempt, and the step that follows.

    `outcome` names the end, or what the event waits for; `outputs` are those of effects that the ledger says are
    done by this very call.
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
    outputs: Sequence[Output] = ()


class NextEvent(Struct, frozen=True):
    """Where the job stands after a write: ours with the same event (`kept`), or with the lane's next one (`head`)."""

    kept: bool = False
    head: LaneHead | None = None
    last: LastState | None = None
    now_ms: int = 0


class Lanes:
    """Batches decisions and settlements into their scripts."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._keep_ms = int(settings.decision_retention_days * 86_400_000)
        self._body_ms = int(settings.body_retention_hours * 3_600_000)
        self._record_ms = int(settings.last_state_retention_days * 86_400_000)
        # Longer would be in vain: once the lease has ended, the token is refused.
        self._seconds_max = settings.lease_seconds
        limits = settings.store_batch_max, settings.store_batches_in_flight_max
        self._decisions: Batcher[DecisionWrite, Any] = Batcher(self._decide, *limits)
        self._settlements: Batcher[SettlementWrite, Any] = Batcher(self._settle, *limits)

    async def decide(self, decided: DecisionWrite) -> NextEvent:
        """Write a decision, before any of its effects.

        Raises:
            LeaseLost: another worker holds the job; nothing was written.
            StoreUnavailable: no answer for as long as the lease lives.
        """
        return _onward(await self._decisions.submit(decided), decided.event_id)

    async def settle(self, settled: SettlementWrite) -> NextEvent:
        """Write results and take the step.

        Raises:
            LeaseLost: another worker holds the job; nothing was written.
            PermanentError: it would undo an effect that is known done.
            StoreUnavailable: no answer for as long as the lease lives.
        """
        return _onward(await self._settlements.submit(settled), settled.event_id)

    async def drain(self) -> None:
        """Wait until nothing is under way."""
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
            arguments += (short_digest(item.digest), item.version.replace("\n", " "), item.fields, item.change)
            arguments += (self._keep_ms, self._body_ms, int(item.more))
        return await self._client.call(DECIDE, arguments, seconds_max=self._seconds_max)

    async def _settle(self, batch: Sequence[SettlementWrite]) -> Sequence[Any]:
        arguments: list[Argument] = []
        for item in batch:
            # Only these steps leave the event off its lane, with a job of its own.
            payload = encode_job(EFFECTS_FUNCTION, ()) if item.step in {"defer", "postpone"} else b""
            arguments += (
                item.job,
                item.token,
                item.event_id,
                compress_history(item.history),
                item.ledger,
                item.step,
                item.outcome,
            )
            arguments += (item.delay_ms, payload, self._keep_ms, self._body_ms, int(item.more), len(item.outputs))
            for output in item.outputs:
                arguments += output_arguments(output)
        return await self._client.call(SETTLE, arguments, seconds_max=self._seconds_max)


def read_head(row: StoreReply) -> LaneHead:
    """Read what `take_up` in shared.lua gives."""
    event_id, received, delivery, attempts, crashes, state, ledger, history, generation, *rest = row
    return LaneHead(
        id=event_id.decode(),
        received_ms=int(float(received)) if received else 0,
        delivery=delivery,
        attempts=attempts,
        worker_crashes=crashes,
        state=cast("bytes", state).decode(),
        ledger=cast("bytes", ledger).decode(),
        history=decompress_history(history),
        generation=generation,
        waiting=rest[0] if rest else 1,
    )


def _onward(answer: StoreReply, event_id: str) -> NextEvent:
    word: bytes = answer[0]
    if word == b"lost":
        raise LeaseLost(event_id)
    if word == b"known":
        raise PermanentError("effect_known_done", f"an effect of {event_id} is known done and was about to be undone")
    if word == b"next":
        return NextEvent(kept=True, head=read_head(answer[2]), last=read_last_state(answer[3]), now_ms=answer[1])
    return NextEvent(kept=word == b"ok")
