"""One attempt on one event: head, event, log line and history entries, written together when the attempt ends."""

import contextlib
import random
from collections.abc import Sequence

from msgspec import structs
from structlog.contextvars import bind_contextvars, unbind_contextvars

from service.config.destinations import RETRY_SECONDS_MAX
from service.errors import Deferred, LeaseLost, PermanentError, StoreNotDurable, StoreUnavailable, WaybillError
from service.events import Event
from service.redaction import loggable_id
from service.store import DecisionWrite, Job, LaneHead, LaneStep, NextEvent, SettlementWrite
from service.store.queue.outputs import Output
from workers.processing.action_context import EffectContext
from workers.processing.attempt_log import AttemptLog
from workers.processing.decisions import Decision
from workers.processing.dependencies import WorkerDependencies
from workers.processing.effects import EffectsRun
from workers.processing.history import (
    DecisionEntry,
    EffectEntry,
    HistoryEntry,
    ReceivedEntry,
    StoredEffect,
    effects_order,
    encode_history,
    extended_ledger,
    initial_ledger,
    merge_decisions,
    received_entry,
)
from workers.processing.retries import attempts_exhausted, delay_seconds
from workers.processing.stored_values import load_event


class Attempt:
    """One attempt on one event.

    Exactly one of `wait`, `retry`, `dead_letter`, `finish`, `release` and `lose` ends an attempt. `decide` ends an
    attempt without effects. `more` allows the run to continue with the next event of the lane.
    """

    def __init__(
        self, dependencies: WorkerDependencies, job: Job, head: LaneHead, *, started_at_ms: int, more: bool
    ) -> None:
        self.head = head
        self.log = AttemptLog(job, head, started_at_ms, dependencies.settings.attempts_max)
        self._settings = dependencies.settings
        self._lanes, self._keys = dependencies.store.lanes, dependencies.store.keys
        self._job = job
        self._more = more
        self._event: Event | None = None
        self._is_decided = head.state == "decided"
        self._effects: EffectsRun | None = None
        self._order = ""
        self._effects_ran = False
        self._entries: list[HistoryEntry] = []
        self._surplus: Sequence[EffectEntry] = ()
        self._ledger = ""
        self._outputs: Sequence[Output] = ()
        unbind_contextvars("correlation_id")  # of the event before, in the same run

    def load_event(self) -> Event:
        """Decode the event.

        Raises:
            PermanentError: the stored bytes are missing or not readable by this version.
        """
        self._event = load_event(self._keys, self.head)
        self.log.set_event(self._event)
        self.log.start_span(self._event)
        if self._event.correlation_id is not None:
            bind_contextvars(correlation_id=loggable_id(self._event.correlation_id))  # on every line of the attempt
        return self._event

    @property
    def age_seconds(self) -> float:
        """Seconds since the event was received."""
        return self.log.age_seconds

    def is_exhausted(self, *, counts: bool = True, retry_for_seconds: float | None = None) -> bool:
        """Return whether no further attempt is allowed. With `counts=False` only the age of the event counts.

        Then the limit of a destination is the longest one: a failed probe concerns the destination, not the event.
        """
        attempts = self.head.attempts if counts else 0
        if retry_for_seconds is not None and not counts:
            retry_for_seconds = RETRY_SECONDS_MAX
        return attempts_exhausted(self._settings, attempts, self.age_seconds, retry_for_seconds)

    def effect_context(self, event: Event) -> EffectContext:
        """Return the context for the effects of this attempt."""
        return EffectContext(event, self.head.attempts, self.head.generation)

    def start_effects(self, effects: EffectsRun, stored: Sequence[StoredEffect], lane: str) -> None:
        """Take note of a run of the `stored` effects, before it starts."""
        self._effects = effects
        self._order = self._order or effects_order(lane, stored)

    def add_effects(self, effects: EffectsRun) -> None:
        """Add the ledger, history entries and outputs of a run of effects to the write that ends the attempt."""
        self._effects_ran = True
        self._ledger = effects.outcome.ledger
        self._entries += effects.take_entries()
        self._surplus = effects.take_surplus()
        self._outputs = effects.take_outputs()
        self.log.fields["actions_run"] = effects.outcome.run

    async def decide(self, decision: Decision, event: Event) -> NextEvent:
        """Write the decision before any effect runs. A decision without effects ends the event."""
        entry, outcome = decision.entry, decision.outcome
        self.log.fields |= decision.log_fields
        entries: list[HistoryEntry] = [received_entry(event, self.head.received_ms), entry]
        if not entry.effects:
            entries.append(self.log.entry(outcome, entry.error))
        self._order = effects_order(event.record.lane, entry.effects)
        next_event = await self._lanes.decide(
            DecisionWrite(
                job=self._job.id,
                token=self._job.token,
                event_id=self.head.id,
                history=encode_history(*entries),
                ledger=initial_ledger(entry.effects),
                outcome="" if entry.effects else outcome,
                digest="" if outcome == "unchanged" else entry.digest,
                version=entry.version or "",
                fields=decision.fields,
                change=event.change,
                more=self._more,
                order=self._order,
            )
        )
        self._is_decided = True
        self.log.report_rules(entry)
        self.log.count_record(event, entry)
        if not entry.effects:
            self.log.finish(outcome, entry.error)
        return next_event

    async def decide_again(self, decided: DecisionEntry, added: DecisionEntry, event: Event) -> NextEvent:
        """Add the results and effects of failed rules to a decision. The next attempt runs the effects.

        This attempt does not count.
        """
        self.log.report_rules(added)
        self._ledger = extended_ledger(decided, self.head.ledger, added)
        self._order = effects_order(event.record.lane, merge_decisions(decided, added).effects)
        next_event = await self._settle("postpone", "rules_evaluated", [added])
        self.log.finish("deferred")
        return next_event

    async def wait(
        self, reason: str, seconds: float, error: Deferred | None = None, stale_version: str = ""
    ) -> NextEvent:
        """Defer the event by `seconds`, or park it under the account of `error`. The attempt does not count.

        `stale_version` is stored for the next attempt.
        """
        # Only deferred effects add to the history: a lane may be deferred many times.
        step, entries = ("postpone", self._history("deferred", error)) if self._effects_ran else ("release", [])
        account = error.account if error else ""
        next_event = await self._settle(step, reason, entries, seconds, stale_version=stale_version, account=account)
        self.log.finish("deferred", error)
        return next_event

    async def wait_behind(self) -> NextEvent:
        """Wait until the effects of earlier events are done or dead-lettered. The attempt does not count."""
        next_event = await self._settle("behind", "earlier_effect", self._history("deferred"))
        self.log.finish("deferred")
        return next_event

    async def retry(self, error: WaybillError, retry_after_seconds: float | None) -> NextEvent:
        """Schedule the next attempt after the backoff, and not before `retry_after_seconds`."""
        chance = random.random()  # noqa: S311 - jitter
        seconds = delay_seconds(self._settings, self.head.attempts, chance, retry_after_seconds)
        # A failed fetch holds the lane, because the next event needs the same fetch. Effects leave the lane.
        step = "defer" if self._effects_ran else "hold"
        next_event = await self._settle(step, error.kind, self._history("retried", error), seconds)
        self.log.finish("retried", error)
        return next_event

    async def dead_letter(self, error: WaybillError) -> NextEvent:
        """Make the event a dead letter."""
        entries = [*self._received(), *self._history("dead_lettered", error)]
        next_event = await self._settle("bury", error.kind, entries)
        self.log.finish("dead_lettered", error)
        return next_event

    async def finish(self, outcome: str, error: WaybillError | None = None) -> NextEvent:
        """End the event with `outcome`. An `error` is the reason."""
        next_event = await self._settle("end", outcome, [*self._received(), *self._history(outcome, error)])
        self.log.finish(outcome, error)
        return next_event

    async def release(self) -> None:
        """Return the event to its lane for a drain or after a lost lease. The attempt does not count."""
        self._more, self._ledger, self._outputs = False, "", ()
        with contextlib.suppress(LeaseLost, StoreUnavailable, StoreNotDurable):
            await self._settle("release")
        self.log.finish("released")

    def lose(self, error: WaybillError) -> SettlementWrite | None:
        """Log an attempt that cannot be written any more. Return the results of its effects as a late settlement."""
        self.log.finish("lost", error)
        if self._effects is None:
            return None
        failures = [*self._surplus, *self._effects.take_surplus()]
        entries = [*self._entries, *self._effects.take_entries(), *map(_without_exchange, failures)]
        # Without a result that is not written there is nothing to settle.
        if all(isinstance(entry, EffectEntry) and entry.error_kind == "outcome_unknown" for entry in entries):
            return None
        return SettlementWrite(
            self._job.id,
            self._job.token,
            self.head.id,
            "late",
            encode_history(*entries),
            self._effects.ledger,
            self.head.asked,
            outputs=[*self._outputs, *self._effects.take_outputs()],
        )

    def _received(self) -> list[ReceivedEntry]:
        """Return the entry `received`, unless a decision wrote it already or the event is not readable."""
        if not self._is_decided:
            with contextlib.suppress(PermanentError):
                return [received_entry(self._event or load_event(self._keys, self.head), self.head.received_ms)]
        return []

    def _history(self, outcome: str, error: WaybillError | None = None) -> list[HistoryEntry]:
        # The exchanges of the last attempt are always stored.
        surplus = self._surplus if outcome == "dead_lettered" else map(_without_exchange, self._surplus)
        return [*self._entries, *surplus, self.log.entry(outcome, error)]

    async def _settle(
        self,
        step: LaneStep,
        outcome: str = "",
        entries: Sequence[HistoryEntry] = (),
        seconds: float = 0,
        *,
        stale_version: str = "",
        account: str = "",
    ) -> NextEvent:
        write = SettlementWrite(
            job=self._job.id,
            token=self._job.token,
            event_id=self.head.id,
            step=step,
            history=encode_history(*entries),
            ledger=self._ledger,
            outcome=outcome,
            delay_ms=int(seconds * 1000),
            more=self._more,
            stale_version=stale_version,
            outputs=self._outputs,
            order=self._order,
            account=account,
        )
        return await self._lanes.settle(write)


def _without_exchange(entry: EffectEntry) -> EffectEntry:
    return structs.replace(entry, exchange=None)
