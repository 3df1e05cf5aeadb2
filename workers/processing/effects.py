"""Effects of one decision, run under one lease. The ledger is `started` before each call and has the result after it.

The effects of one rule run in order and stop at the first failure; different rules run concurrently. The caller decides
from the `EffectsOutcome` whether the event ends.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from service.errors import Deferred, LeaseLost, PermanentError, TransientError, WaybillError
from service.events import trace_id
from service.log import log_info
from service.metrics.families import EFFECT_SECONDS, EFFECTS
from service.store import Job, SettlementWrite
from service.store.queue.outputs import Output
from service.tracing.spans import Span, start_span
from workers.processing.action_calls import EffectDependencies, call_action, destination_name
from workers.processing.action_context import EffectContext, RunningAction
from workers.processing.exchanges import store_exchange, stored_answer
from workers.processing.history import (
    ERROR_CHARACTERS_MAX,
    EffectEntry,
    StoredEffect,
    StoredExchange,
    count_exchanges,
    encode_history,
)
from workers.processing.retry_safety import is_not_performed, unknown_outcome

PLANNED, STARTED, DONE, FAILED, UNKNOWN, DEFERRED, SUPERSEDED = "psdfuwx"
"""Letters of the ledger."""
LEDGER_LETTERS = frozenset("psdfuwx")
BEHIND, BEFORE = "bn"
"""Places of an effect in the order: behind one of an earlier event, or before one of a newer event."""


class EffectsOutcome(Struct):
    """Result of a run. `error` is the last failure, `retry_after_seconds` the longest requested delay."""

    ledger: str = ""
    run: int = 0
    error: WaybillError | None = None
    retry_after_seconds: float | None = None
    deferred_seconds: float = 0.0  # longest wait for a rate limit or an open circuit
    retry_for_seconds: float = 0.0  # longest `retry.for` of the destinations of failed effects; 0 is none
    is_behind: bool = False  # an effect waits for an effect of an earlier event

    @property
    def is_deferred(self) -> bool:
        """Whether nothing failed and effects wait for a rate limit or an open circuit. The attempt does not count."""
        return isinstance(self.error, Deferred)

    @property
    def has_deferred(self) -> bool:
        """Whether an effect has to run again."""
        return DEFERRED in self.ledger


class EffectsRun:
    """One run of the effects of one event, in one attempt."""

    def __init__(
        self,
        dependencies: EffectDependencies,
        job: Job,
        context: EffectContext,
        effects: Sequence[StoredEffect],
        ledger: str,
        *,
        history: bytes,
    ) -> None:
        self._dependencies = dependencies
        self._places = ""
        self._job = job
        self._context = context
        self._effects = effects
        self._ledger = list(ledger)
        self._history = history
        self._entries: list[EffectEntry] = []
        self._surplus: list[EffectEntry] = []
        self._outputs: list[Output] = []
        self._write_lock = asyncio.Lock()
        self._active = 0
        self._store_error: WaybillError | None = None
        self.outcome = EffectsOutcome()

    @property
    def ledger(self) -> str:
        """Ledger with all results so far, written or not."""
        return "".join(self._ledger)

    async def run(self, *, fresh: bool, places: str = "") -> EffectsOutcome:
        """Run the effects that are not done. With `fresh`, effects marked as started have not been called yet.

        `places` are those of `LaneHead`.

        Raises:
            LeaseLost, StoreUnavailable: the ledger was not written, and no further effect was started.
        """
        self._places = places
        chains: dict[str, list[int]] = {}
        for index, effect in enumerate(self._effects):
            if not effect.is_rule:
                chains.setdefault(effect.rule_id, []).append(index)
            elif self._ledger[index] == PLANNED:  # a rerun of all effects, and the rule was evaluated since it failed
                self._ledger[index] = DONE
        self._active = len(chains)
        if self._active == 1:  # the common case; a task costs more than the writes of the ledger
            await self._run_chain(next(iter(chains.values())), fresh=fresh)
        else:
            await self._run_concurrently(chains.values(), fresh=fresh)
        self.outcome.ledger = self.ledger
        return self.outcome

    async def _run_concurrently(self, chains: Iterable[Sequence[int]], *, fresh: bool) -> None:
        runs = (self._run_chain(chain, fresh=fresh) for chain in chains)
        # After an error of the store the other chains end their current calls: a result is worth more than none.
        for result in await asyncio.gather(*runs, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    def take_entries(self) -> Sequence[EffectEntry]:
        """Return the history entries that no write has included yet, and clear them."""
        entries, self._entries = self._entries, []
        return entries

    def take_surplus(self) -> Sequence[EffectEntry]:
        """Return the entries of failures whose exchange is above the limit, and clear them.

        Only the write that ends the attempt can include them: it knows whether the attempt is the last one.
        """
        entries, self._surplus = self._surplus, []
        return entries

    def take_outputs(self) -> Sequence[Output]:
        """Return the outputs that no write has included yet, and clear them."""
        outputs, self._outputs = self._outputs, []
        return outputs

    async def _run_chain(self, indexes: Sequence[int], *, fresh: bool) -> None:
        for index in indexes:
            letter = self._ledger[index]
            if letter in (DONE, SUPERSEDED):
                continue
            if letter in (FAILED, UNKNOWN):
                self._report_earlier_failure(letter)
                break
            place = self._places[index : index + 1]
            if place == BEHIND:
                self._ledger[index] = PLANNED if letter == STARTED else letter
                self.outcome.is_behind = True
                break
            if letter == STARTED and not fresh and not self._may_repeat(index):
                break
            if place == BEFORE and self._effects[index].latest_only:
                self._ledger[index] = SUPERSEDED
                self._log_action(index, 0.0, outcome="superseded")
                continue
            # Written before the call: after a crash in the call, the ledger shows that the effect may have happened.
            if letter != STARTED:
                self._ledger[index] = STARTED
                await self._write_ledger()
            with start_span("effect", "client", attributes=self._effects[index].span_attributes) as span:
                await self._run_effect(index, span, is_repeated=letter == DEFERRED or (letter == STARTED and not fresh))
            if self._ledger[index] != DONE:
                break
        self._active -= 1
        # The write that ends the attempt includes the results of the last chain.
        if self._active and self._entries:
            await self._write_ledger()

    def _may_repeat(self, index: int) -> bool:
        if self._effects[index].repeat != "unsafe":
            return True
        error = PermanentError("outcome_unknown", "an earlier attempt started the effect and wrote no result")
        self._fail(index, UNKNOWN, error)
        self._log_action(index, 0.0, error)
        return False

    def _report_earlier_failure(self, letter: str) -> None:
        """Report a permanent failure of an earlier attempt, unless this attempt has a failure."""
        kind = "outcome_unknown" if letter == UNKNOWN else "effect_failed"
        self.outcome.error = self.outcome.error or PermanentError(kind, "an effect failed in an earlier attempt")

    async def _run_effect(self, index: int, span: Span, *, is_repeated: bool) -> None:
        started = time.perf_counter()
        self.outcome.run += 1
        effect, dependencies = self._effects[index], self._dependencies
        running = RunningAction(self._context, effect, index, dependencies.resources, is_repeated=is_repeated)
        error: WaybillError | None = None
        answer: Mapping[str, Any] | None = None
        try:
            answer, outputs = await call_action(dependencies, running, effect, self._job.lease)
            self._outputs.extend(outputs)
            self._ledger[index] = DONE
        except (TransientError, Deferred) as failure:
            error = failure
            self.outcome.retry_for_seconds = max(self.outcome.retry_for_seconds, failure.retry_for_seconds or 0.0)
            # A response can open the circuit, and so defer a call that was sent.
            if effect.repeat == "unsafe" and not is_not_performed(failure):
                error = unknown_outcome(failure)
            if isinstance(error, Deferred):
                self._defer(index, error)
            else:
                self._fail(index, DEFERRED if error is failure else UNKNOWN, error)
        except PermanentError as failure:
            error = failure
            self._fail(index, FAILED, failure)
        except LeaseLost as failure:
            if not failure.is_sent:  # a late result: an unsafe effect does not become a dead letter
                self._ledger[index] = DEFERRED
                self._log_action(index, (time.perf_counter() - started) * 1000, failure)
            raise
        span.set_error(error)
        exchange = store_exchange(running.exchange, effect.inputs, dependencies.exchange_limits)
        self._log_action(index, (time.perf_counter() - started) * 1000, error, answer, exchange)

    def _fail(self, index: int, letter: str, error: WaybillError) -> None:
        error.__traceback__ = None  # its frames refer to this run: a reference cycle for the garbage collector
        self._ledger[index] = letter
        self.outcome.error = error  # replaces a Deferred: a failure counts as an attempt, a wait does not
        if isinstance(error, TransientError) and error.retry_after_seconds is not None:
            self.outcome.retry_after_seconds = max(self.outcome.retry_after_seconds or 0, error.retry_after_seconds)

    def _defer(self, index: int, error: Deferred) -> None:
        """Defer an effect that was not called: any action may run again."""
        error.__traceback__ = None  # as in _fail
        self._ledger[index] = DEFERRED
        self.outcome.deferred_seconds = max(self.outcome.deferred_seconds, error.seconds)
        self.outcome.error = self.outcome.error or error

    def _log_action(
        self,
        index: int,
        duration_ms: float,
        error: WaybillError | None = None,
        answer: Mapping[str, Any] | None = None,
        exchange: StoredExchange | None = None,
        *,
        outcome: Literal["ok", "superseded"] = "ok",
    ) -> None:
        effect, context = self._effects[index], self._context
        outcome_or_error, kind = ("error", error.kind) if error else (outcome, None)
        destination = destination_name(effect, self._dependencies.resources)
        EFFECTS.inc((effect.rule_id, effect.action_type, destination, outcome_or_error, kind))
        EFFECT_SECONDS.observe((effect.action_type, destination), duration_ms / 1000)
        fields: dict[str, Any] = {
            "event_id": context.event_id,
            "trace_id": trace_id(context.traceparent),
            "source_name": context.source,
            "attempt": context.attempt,
            "rule_id": effect.rule_id,
            "action_id": effect.action_id,
            "action_type": effect.action_type,
            **({"destination_name": destination} if destination else {}),
            "outcome": outcome_or_error,
            "error_kind": kind,
            "http_status": getattr(error, "http_status", None) or (answer or {}).get("http_status"),
            "duration_ms": round(duration_ms, 2),
        }
        log_info("action.finished", fields)
        entry = EffectEntry(
            at_ms=int(time.time() * 1000),
            attempt=context.attempt,
            rule_id=effect.rule_id,
            action_id=effect.action_id,
            outcome=outcome_or_error,
            duration_ms=round(duration_ms, 2),
            error_kind=kind,
            error=str(error)[:ERROR_CHARACTERS_MAX] if error else None,
            answer=stored_answer(answer, exchange),
            exchange=exchange,
        )
        is_surplus = False
        if exchange is not None and self._ledger[index] == DEFERRED:
            stored = count_exchanges(self._history)[effect.rule_id, effect.action_id]
            is_surplus = stored >= self._dependencies.exchange_limits.exchanges_max
        (self._surplus if is_surplus else self._entries).append(entry)

    async def _write_ledger(self) -> None:
        # One write at a time: of two concurrent writes the older could arrive last and undo the newer.
        async with self._write_lock:
            if self._store_error is not None:  # the next write would fail in the same way, after the same wait
                raise self._store_error
            job, event_id = self._job, self._context.event_id
            entries, outputs = self.take_entries(), self.take_outputs()
            try:
                await self._dependencies.store.lanes.settle(
                    SettlementWrite(
                        job.id, job.token, event_id, "note", encode_history(*entries), self.ledger, outputs=outputs
                    )
                )
            except WaybillError as error:
                self._entries[:0], self._outputs[:0] = entries, outputs
                self._store_error = error
                raise
