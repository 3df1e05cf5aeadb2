"""Run the effects of one decision under one lease: the ledger says `started` before a call, its result after it.

The effects of one rule run in order and stop at the first that fails; the rules do not wait for each other. Nothing
here decides whether the event ends: it tells what is done, what has to wait and what a person must look at.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from service.actions import Action
from service.errors import Deferred, PermanentError, StoreNotDurable, StoreUnavailable, TransientError, WaybillError
from service.events import trace_id
from service.log import current_logger, log_info
from service.metrics.families import EFFECT_SECONDS, EFFECTS
from service.store import IngestRequest, Job, SettlementWrite, Shards, Store
from service.store.queue.outputs import EmittedEvent, Output
from workers.processing.action_context import EffectContext, RunningAction
from workers.processing.history import EffectEntry, StoredEffect, encode_history

ERROR_CHARACTERS_MAX = 300

AMBIGUOUS = frozenset({"timeout", "reset", "protocol", "platform_not_json", "platform_truncated_json", "unexpected"})
AMBIGUOUS_STATUSES = frozenset({500, 502, 504})
"""Kinds and statuses of failure after which the other side may have acted all the same."""

PLANNED, STARTED, DONE, FAILED, UNKNOWN, WAITING = "psdfuw"
"""The letters of the ledger."""


class EffectDependencies(Struct, frozen=True):
    """What running effects takes, joined once per worker."""

    store: Store
    actions: Mapping[str, type[Action]]
    resources: Mapping[str, Any]
    action_timeout_seconds: float
    intake: Store | Shards | None = None
    """Where derived events go, if there are several stores."""


class EffectsOutcome(Struct):
    """What is left after a run: `error` is the last failure, `retry_after_seconds` the longest wait asked for."""

    ledger: str = ""
    run: int = 0
    error: WaybillError | None = None
    retry_after_seconds: float | None = None
    held_seconds: float = 0.0
    """The longest wait for a limit or a pause, which is no failure."""

    @property
    def held(self) -> bool:
        """All that is left waits for a limit or a pause, so that this attempt does not count."""
        return isinstance(self.error, Deferred)

    @property
    def waiting(self) -> bool:
        """Something is to be tried again."""
        return WAITING in self.ledger

    @property
    def failed(self) -> bool:
        """A person has to look."""
        return FAILED in self.ledger or UNKNOWN in self.ledger


class EffectsRun:
    """The effects of one event, in one attempt."""

    def __init__(
        self, tools: EffectDependencies, job: Job, subject: EffectContext, effects: Sequence[StoredEffect], ledger: str
    ) -> None:
        self._tools = tools
        self._job = job
        self._subject = subject
        self._effects = effects
        self._ledger = list(ledger)
        self._lines: list[EffectEntry] = []
        self._outputs: list[Output] = []
        self._writing = asyncio.Lock()
        self._active = 0
        self.outcome = EffectsOutcome()

    async def run(self, *, fresh: bool) -> EffectsOutcome:
        """Run what is not done. `fresh`: what the ledger calls started was written by this very run and not called yet.

        Raises:
            LeaseLost, StoreUnavailable: the ledger could not be written; nothing further was started.
        """
        chains: dict[str, list[int]] = {}
        for place, effect in enumerate(self._effects):
            chains.setdefault(effect.rule_id, []).append(place)
        self._active = len(chains)
        if self._active == 1:  # nearly always; a task of its own would cost more than the ledger's lines
            await self._chain(range(len(self._effects)), fresh=fresh)
        else:
            await self._beside_each_other(chains.values(), fresh=fresh)
        self.outcome.ledger = "".join(self._ledger)
        return self.outcome

    async def _beside_each_other(self, chains: Iterable[Sequence[int]], *, fresh: bool) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for chain in chains:
                    group.create_task(self._chain(chain, fresh=fresh))
        except BaseExceptionGroup as failures:
            # The store's own word, a lost lease or no answer, which every chain hears alike.
            raise failures.exceptions[0] from None

    def history_lines(self) -> bytes:
        """The lines not written yet."""
        lines, self._lines = self._lines, []
        return encode_history(*lines)

    def outputs(self) -> Sequence[Output]:
        """What done effects put out and no call has written yet; it goes with the ledger that calls them done."""
        outputs, self._outputs = self._outputs, []
        return outputs

    async def _chain(self, places: Sequence[int], *, fresh: bool) -> None:
        for place in places:
            letter = self._ledger[place]
            if letter == DONE:
                continue
            if letter in (FAILED, UNKNOWN):
                self._recall(letter)
                break
            if letter == STARTED and not fresh and not self._may_repeat(place):
                break
            # Written before the call, or a crash in it would leave no trace that it may have happened.
            if letter != STARTED:
                self._ledger[place] = STARTED
                await self._note()
            await self._one(place)
            if self._ledger[place] != DONE:
                break
        self._active -= 1
        # The last chain's results go with the call that ends the attempt.
        if self._active and self._lines:
            await self._note()

    def _may_repeat(self, place: int) -> bool:
        if self._effects[place].repeat != "unsafe":
            return True
        self._fail(
            place, UNKNOWN, PermanentError("outcome_unknown", "started once, and nobody knows whether it was done")
        )
        self._log_action(place, 0.0, self.outcome.error)
        return False

    def _recall(self, letter: str) -> None:
        """Name what an earlier attempt left to a person, unless this one has a failure of its own to tell."""
        kind = "outcome_unknown" if letter == UNKNOWN else "effect_failed"
        self.outcome.error = self.outcome.error or PermanentError(
            kind, "an effect failed for good in an earlier attempt"
        )

    async def _one(self, place: int) -> None:
        started = time.perf_counter()
        self.outcome.run += 1
        error: WaybillError | None = None
        answer: Mapping[str, Any] | None = None
        try:
            answer = await self._call(place)
            self._ledger[place] = DONE
        except TransientError as failure:
            error = failure
            if self._effects[place].repeat == "unsafe" and _may_have_happened(failure):
                error = PermanentError(
                    "outcome_unknown", f"it may have happened: {failure}", http_status=failure.http_status
                )
            self._fail(place, WAITING if error is failure else UNKNOWN, error)
        except Deferred as held:
            error = held
            self._hold(place, held)
        except PermanentError as failure:
            error = failure
            self._fail(place, FAILED, failure)
        self._log_action(place, (time.perf_counter() - started) * 1000, error, answer)

    async def _call(self, place: int) -> Mapping[str, Any]:
        effect = self._effects[place]
        action = self._tools.actions.get(effect.action_type)
        if action is None:
            # A newer worker may know it: in a rolling deploy both run side by side.
            raise TransientError("unknown_action", f"this worker has no action {effect.action_type!r}")
        context = RunningAction(self._subject, effect, place, self._tools.resources)
        try:
            async with asyncio.timeout(self._tools.action_timeout_seconds):
                answer = await action.run(effect.inputs, context)
                own = await self._own(context.outputs)
        except TimeoutError:
            raise TransientError("timeout", f"no end within {self._tools.action_timeout_seconds} s") from None
        except (TransientError, PermanentError, Deferred):
            raise
        except Exception as error:
            current_logger().exception(
                "action.crashed",
                event_id=self._subject.event_id,
                trace_id=trace_id(self._subject.traceparent),
                rule_id=effect.rule_id,
                action_id=effect.action_id,
            )
            raise TransientError("unexpected", f"{type(error).__name__} in the action's code") from error
        self._outputs.extend(own)
        return answer

    async def _own(self, outputs: Sequence[Output]) -> Sequence[Output]:
        """Keep what this event's own store can write with the ledger; an event of another store's record goes first.

        Its id is made of the effect's key, so that a repetition finds it taken in.
        """
        intake = self._tools.intake
        if not isinstance(intake, Shards):
            return outputs
        away: list[IngestRequest] = [
            output.request
            for output in outputs
            if isinstance(output, EmittedEvent) and intake.of(output.request.event.record.lane) is not self._tools.store
        ]
        try:
            if away:
                await intake.ingest_all(away)
        except (StoreUnavailable, StoreNotDurable) as error:
            raise TransientError(error.kind, str(error)) from error
        return [output for output in outputs if not (isinstance(output, EmittedEvent) and output.request in away)]

    def _fail(self, place: int, letter: str, error: WaybillError) -> None:
        error.__traceback__ = None  # its frames know this run, which is to go at its end, not when the collector looks
        self._ledger[place] = letter
        self.outcome.error = error  # also instead of Held: a failure counts, a wait does not
        if isinstance(error, TransientError) and error.retry_after_seconds is not None:
            self.outcome.retry_after_seconds = max(self.outcome.retry_after_seconds or 0, error.retry_after_seconds)

    def _hold(self, place: int, held: Deferred) -> None:
        """It was not done, and nobody tried: whatever the action, it may be begun again."""
        held.__traceback__ = None  # as _fail
        self._ledger[place] = WAITING
        self.outcome.held_seconds = max(self.outcome.held_seconds, held.seconds)
        self.outcome.error = self.outcome.error or held

    def _log_action(
        self, place: int, duration_ms: float, error: WaybillError | None, answer: Mapping[str, Any] | None = None
    ) -> None:
        effect, subject = self._effects[place], self._subject
        kind = error.kind if error else None
        http_status = getattr(error, "http_status", None) or (answer or {}).get("http_status")
        EFFECTS.inc((effect.rule_id, effect.action_type, "error" if error else "ok", kind))
        EFFECT_SECONDS.observe((effect.action_type,), duration_ms / 1000)
        fields: dict[str, Any] = {
            "event_id": subject.event_id,
            "trace_id": trace_id(subject.traceparent),
            "source_name": subject.source,
            "attempt": subject.attempt,
            "rule_id": effect.rule_id,
            "action_id": effect.action_id,
            "action_type": effect.action_type,
            "outcome": "error" if error else "ok",
            "error_kind": kind,
            "http_status": http_status,
            "duration_ms": round(duration_ms, 2),
        }
        log_info("action.finished", fields)
        self._lines.append(
            EffectEntry(
                at_ms=int(time.time() * 1000),
                attempt=subject.attempt,
                rule_id=effect.rule_id,
                action_id=effect.action_id,
                outcome="error" if error else "ok",
                duration_ms=round(duration_ms, 2),
                error_kind=kind,
                error=str(error)[:ERROR_CHARACTERS_MAX] if error else None,
                answer=dict(answer) if answer else None,
            )
        )

    async def _note(self) -> None:
        # One write at a time: two on their way together could overtake each other, and the older would undo the newer.
        async with self._writing:
            job, event_id = self._job, self._subject.event_id
            ledger, history = "".join(self._ledger), self.history_lines()
            await self._tools.store.lanes.settle(
                SettlementWrite(job.id, job.token, event_id, "note", history, ledger, outputs=self.outputs())
            )


def _may_have_happened(failure: TransientError) -> bool:
    """Whether the other side may have acted all the same: it went silent, or broke in the middle of it."""
    return failure.kind in AMBIGUOUS or failure.http_status in AMBIGUOUS_STATUSES
