"""The job: take a lane's events in order, fetch the record once, decide, write the decision, run the effects.

    process_lane(ctx, record)             the lane's job; one run, bounded in events
        _attempt(head)                    one event: its end, or the wait for another attempt
            _record(event)                platform.fetch(), one for every event received before it began
            judge(event, fetched)         rulebook.judge(), pure
            lanes.decide(…)               written before any effect
            EffectsRun.run(…)             ledger: started before, result after
            lanes.settle(…)               end, defer, hold, bury
    finish_effects(ctx, event)            the job of an event whose effects had to wait; decides nothing again

An attempt that fails ends in exactly one of: hold (the lane waits, the next event needs the same fetch), defer (the
effects wait off the lane), bury (a dead letter). This is the only module that catches whatever comes.
"""

import asyncio
import contextlib
import math
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from service.errors import (
    Deferred,
    LeaseLost,
    PermanentError,
    StoreNotDurable,
    StoreUnavailable,
    TransientError,
    WaybillError,
)
from service.events import Event
from service.platforms.base import FetchedRecord
from service.records import RECORDS
from service.store import DecisionWrite, Job, LaneHead, LaneStep, LastState, NextEvent, SettlementWrite
from service.store.queue.outputs import Output
from workers.processing.action_context import EffectContext
from workers.processing.attempt_log import AttemptLog
from workers.processing.decisions import Decision, decide, derived_event, load_event
from workers.processing.dependencies import WorkerDependencies
from workers.processing.effects import EffectsOutcome, EffectsRun
from workers.processing.fetching import fetch_record, follow_hint
from workers.processing.history import DecisionEntry, encode_history, initial_ledger, read_decision, received_line
from workers.processing.retries import attempts_exhausted, delay_seconds


async def process_lane(ctx: Mapping[str, Any], _record: str) -> None:
    """Run a record's lane for a bounded number of events.

    Raises:
        LeaseLost, StoreUnavailable: nothing more could be written; another run goes on from what is stored.
    """
    job, tools = ctx["job"], ctx["tools"]
    run, head, last = LaneRun(tools, job), job.head, job.last
    for number in range(1, tools.settings.lane_events_max + 1):
        # Then others get a turn: a record that changes all the time must not starve them.
        run.more = number < tools.settings.lane_events_max and not ctx["worker"].draining_or_isolating
        onward = await run.attempt(head, last)
        if onward.head is None:
            return
        head, last, run.now_ms = onward.head, onward.last or LastState(), onward.now_ms


async def finish_effects(ctx: Mapping[str, Any], _event_id: str) -> None:
    """Run the effects that had to wait.

    Raises:
        LeaseLost, StoreUnavailable: as `process_lane`.
    """
    job = ctx["job"]
    await LaneRun(ctx["tools"], job).attempt(job.head, LastState())


class LaneRun:
    """One run under one lease: the job's events one after the other, and what they share."""

    def __init__(self, tools: WorkerDependencies, job: Job) -> None:
        self._tools = tools
        self._settings = tools.settings
        self._job = job
        self._fetched: FetchedRecord | None = None
        self._fetched_at = 0.0
        self._covered = 0
        self._log = structlog.get_logger()
        self.more = False
        self.now_ms = job.claimed_ms

    async def attempt(self, head: LaneHead, last: LastState) -> NextEvent:
        """Make one attempt on one event; whatever happens in it, the event is left with an end or a next attempt.

        Raises:
            LeaseLost, StoreUnavailable, StoreUnsafe: it is left as the store has it.
        """
        # So many events of the lane came before the last fetch began, and need none of their own.
        self._covered = max(self._covered - 1, 0)
        report = AttemptLog(self._job, head, self.now_ms, self._settings.attempts_max)
        try:
            return await self._attempt(head, last, report)
        except asyncio.CancelledError:
            # A drain or a lost lease: no further event, and no attempt is used up.
            self.more = False
            with contextlib.suppress(LeaseLost, StoreUnavailable, StoreNotDurable):
                await self._settle(head, "release")
            report.finish("released")
            raise
        except (LeaseLost, StoreUnavailable, StoreNotDurable) as error:
            report.finish("lost", error)
            raise
        except Deferred as held:
            return await self._held(head, report, held)
        except (TransientError, PermanentError) as error:
            return await self._failed(head, report, error)
        except TimeoutError:
            seconds = self._settings.attempt_timeout_seconds
            return await self._failed(
                head, report, TransientError("attempt_timeout", f"no decision within {seconds} s")
            )
        except Exception as error:  # noqa: BLE001 - whatever comes, the event must not be left without a next step
            self._log.exception("attempt.crashed", event_id=head.id, trace_id=report.fields.get("trace_id"))
            return await self._failed(
                head, report, TransientError("unexpected", f"{type(error).__name__} in our own code")
            )

    async def _attempt(self, head: LaneHead, last: LastState, report: AttemptLog) -> NextEvent:
        # It took its workers down, most likely; buried, it lets the rest of its lane go on.
        if head.worker_crashes >= self._settings.crashes_max:
            raise PermanentError("worker_crashed", f"{head.worker_crashes} workers died while they had it")
        event = load_event(head)
        report.set_event(event)
        # Decided is decided: neither a new rulebook nor a newer state changes it any more.
        if head.state == "decided":
            decided = read_decision(head.history)
            if decided is None:
                raise PermanentError("undecodable", "its decision cannot be read by this version")
            return await self._effects(head, report, event, decided, fresh=False)
        # A hint, such as an order: it leads to records, and is decided on none itself.
        if event.record.kind not in RECORDS:
            return await self._resolve(head, report, event)
        fetch_delay_seconds = self._tools.catching_up.fetch_delay_seconds(event)
        # Below 0 the store's clock was set back, and the wait would come to no end.
        if 0 <= report.age_seconds < fetch_delay_seconds:
            return await self._wait(head, report, "fetch_delay", fetch_delay_seconds - report.age_seconds)
        async with asyncio.timeout(self._settings.attempt_timeout_seconds):
            since = report.age_seconds - fetch_delay_seconds if fetch_delay_seconds else math.inf
            fetched = await self._record(event, head, since)
        wait_seconds = self._tools.catching_up.wait_seconds(event, fetched, report.age_seconds)
        if wait_seconds:
            return await self._wait(head, report, "stale_read", wait_seconds)
        decision = self._decision(head, last, report, event, fetched)
        del fetched  # thousands of objects, freed in a fraction of the time while they are near; nothing waits for them
        return await self._decide(head, report, event, decision)

    async def _wait(self, head: LaneHead, report: AttemptLog, reason: str, seconds: float) -> NextEvent:
        """Try again later, on a state fetched then; nothing went wrong, and no attempt is used up."""
        onward = await self._settle(head, "release", outcome=reason, delay_seconds=seconds)
        report.finish("deferred")
        return onward

    async def _record(self, event: Event, head: LaneHead, settled_seconds_ago: float) -> FetchedRecord:
        # A fetch serves every event that was in the lane before it began, and had settled by then, and no other.
        began = time.monotonic()
        if self._fetched is None or self._covered == 0 or self._fetched_at < began - settled_seconds_ago:
            self._covered, self._fetched_at = head.queued, began
            fetched = await fetch_record(self._tools.platforms, event, head.attempts)
            self._fetched = fetched if self._covered > 1 else None
            return fetched
        return self._fetched

    def _decision(
        self, head: LaneHead, last: LastState, report: AttemptLog, event: Event, fetched: FetchedRecord
    ) -> Decision:
        rulebook = self._tools.rules.rulebook
        if rulebook is None:
            raise TransientError("no_rulebook", "no rulebook is loaded")
        decision = decide(rulebook, event, fetched, last, head.attempts)
        report.fields |= decision.counts
        return decision

    async def _decide(self, head: LaneHead, report: AttemptLog, event: Event, decision: Decision) -> NextEvent:
        line, effects = decision.line, decision.line.effects
        outcome = decision.outcome
        end = "" if effects else outcome
        lines = [received_line(event, head.received_ms), line]
        history = encode_history(*lines, report.line(outcome)) if end else encode_history(*lines)
        onward = await self._tools.store.lanes.decide(self._decided(head, event, decision, end, history))
        if end:
            report.finish(outcome)
            return onward
        return await self._effects(head, report, event, line, fresh=True)

    def _decided(self, head: LaneHead, event: Event, decision: Decision, end: str, history: bytes) -> DecisionWrite:
        return DecisionWrite(
            job=self._job.id,
            token=self._job.token,
            event_id=head.id,
            history=history,
            ledger=initial_ledger(decision.line.effects),
            outcome=end,
            digest="" if decision.outcome == "unchanged" else decision.line.digest,
            version=decision.line.version or "",
            fields=decision.fields,
            change=event.change,
            more=self.more,
        )

    async def _effects(
        self, head: LaneHead, report: AttemptLog, event: Event, line: DecisionEntry, *, fresh: bool
    ) -> NextEvent:
        ledger = initial_ledger(line.effects) if fresh else head.ledger
        subject = EffectContext(event.id, event.source, event.traceparent, head.attempts, head.generation)
        run = EffectsRun(self._tools.effects, self._job, subject, line.effects, ledger)
        outcome = await run.run(fresh=fresh)
        report.fields["actions_run"] = outcome.run
        # A limit or a pause uses up no attempt; but age it does.
        reason = attempts_exhausted(self._settings, 0 if outcome.held else head.attempts, report.age_seconds)
        if outcome.waiting and outcome.held and not reason:
            return await self._end(head, report, "postpone", "deferred", outcome, run, outcome.held_seconds)
        if outcome.waiting and not reason:
            seconds = max(self._delay(head, outcome.retry_after_seconds), outcome.held_seconds)
            return await self._end(head, report, "defer", "retried", outcome, run, seconds)
        if outcome.waiting or outcome.failed:
            return await self._end(head, report, "bury", "dead_lettered", outcome, run)
        return await self._end(head, report, "end", "matched", outcome, run)

    async def _end(  # noqa: PLR0917 - each is one part of what is written
        self,
        head: LaneHead,
        report: AttemptLog,
        step: LaneStep,
        word: str,
        outcome: EffectsOutcome,
        run: EffectsRun,
        seconds: float = 0,
    ) -> NextEvent:
        end = outcome.error.kind if outcome.error else word
        onward = await self._settle(
            head,
            step,
            history=run.history_lines() + encode_history(report.line(word, outcome.error)),
            ledger=outcome.ledger,
            outcome=end,
            delay_seconds=seconds,
            outputs=run.outputs(),
        )
        report.finish(word, outcome.error)
        return onward

    async def _resolve(self, head: LaneHead, report: AttemptLog, event: Event) -> NextEvent:
        async with asyncio.timeout(self._settings.attempt_timeout_seconds):
            refs = await follow_hint(self._tools.platforms, event, head.attempts)
        # Nobody else needs the body, and unpacking it is the dearest part of reading an event.
        whole = load_event(head, with_body=True)
        arrivals = [derived_event(whole, ref, self._settings) for ref in refs]
        if arrivals:
            # Before the hint ends: after a crash in between they are made again under the same ids, and known.
            await self._tools.intake.ingest_all(arrivals)
        outcome = "resolved" if arrivals else "ignored"
        report.fields["records"] = len(arrivals)
        history = encode_history(received_line(event, head.received_ms), report.line(outcome))
        onward = await self._settle(head, "end", history=history, outcome=outcome)
        report.finish(outcome)
        return onward

    async def _held(self, head: LaneHead, report: AttemptLog, held: Deferred) -> NextEvent:
        """Wait for a limit or a pause without using up an attempt; but not beyond the age at which events die."""
        if report.age_seconds >= self._settings.event_age_seconds_max:
            return await self._failed(head, report, held)
        onward = await self._settle(head, "release", outcome=held.kind, delay_seconds=held.seconds)
        report.finish("deferred", held)
        return onward

    async def _failed(self, head: LaneHead, report: AttemptLog, error: WaybillError) -> NextEvent:
        is_final = isinstance(error, PermanentError) or attempts_exhausted(
            self._settings, head.attempts, report.age_seconds
        )
        if is_final:
            history = self._received(head) + encode_history(report.line("dead_lettered", error))
            onward = await self._settle(head, "bury", history=history, outcome=error.kind)
            report.finish("dead_lettered", error)
            return onward
        # The lane is held, since its next event needs the very fetch that failed.
        seconds = self._delay(head, getattr(error, "retry_after_seconds", None))
        history = encode_history(report.line("retried", error))
        onward = await self._settle(head, "hold", history=history, outcome=error.kind, delay_seconds=seconds)
        report.finish("retried", error)
        return onward

    def _received(self, head: LaneHead) -> bytes:
        """The history entry of how the event came, where the event can be read and the line is not there yet."""
        if head.state == "decided":
            return b""
        with contextlib.suppress(PermanentError):
            return encode_history(received_line(load_event(head), head.received_ms))
        return b""

    def _delay(self, head: LaneHead, retry_after_seconds: float | None) -> float:
        chance = random.random()  # noqa: S311 - jitter
        return delay_seconds(self._settings, head.attempts, chance, retry_after_seconds)

    async def _settle(
        self,
        head: LaneHead,
        step: LaneStep,
        *,
        history: bytes = b"",
        ledger: str = "",
        outcome: str = "",
        delay_seconds: float = 0,
        outputs: Sequence[Output] = (),
    ) -> NextEvent:
        delay_ms = int(delay_seconds * 1000)
        job = self._job
        return await self._tools.store.lanes.settle(
            SettlementWrite(job.id, job.token, head.id, step, history, ledger, outcome, delay_ms, self.more, outputs)
        )
