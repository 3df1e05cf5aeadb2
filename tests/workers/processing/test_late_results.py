"""Results of effects that arrive after their lease expired."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from service.actions import Action, ActionContext, CompileTemplate, TemplateRenderer
from service.errors import PermanentError, StoreUnavailable, TransientError, WaybillError
from service.lease import check_lease
from service.settings import Settings
from service.store.management.replay import plan_replay
from tests.waiting import PATIENCE_SECONDS, until
from tests.workers.harness import WorkerHarness, open_harness
from tests.workers.processing.test_effects import expire_lease, rule
from workers.late_writes import LATE_RESULT_SECONDS_MAX

pytestmark = pytest.mark.store

MakeError = Callable[[], WaybillError | None]


def unproven() -> WaybillError:
    return TransientError("timeout", "too late")


def proven() -> WaybillError:
    return TransientError("target_unavailable", "busy", http_status=429)


def rejected() -> WaybillError:
    return PermanentError("request_rejected", "no", http_status=400)


def nothing() -> None:
    return None


class Calls:
    """Calls of the action: each waits until `answer` has its result."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.answers: list[asyncio.Future[WaybillError | None]] = []
        self.has_two_requests = False


calls = Calls()


class Slow(Action, frozen=True, kw_only=True, tag="slow"):
    """Unsafe action whose result the test decides."""

    repeat = "unsafe"

    def compile(self, compile_template: CompileTemplate) -> TemplateRenderer:
        _ = compile_template
        return lambda _: {}

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        _ = inputs
        answer = asyncio.get_running_loop().create_future()
        calls.keys.append(context.idempotency_key)
        calls.answers.append(answer)
        if calls.has_two_requests:
            check_lease()
        error = await answer
        check_lease()
        if error is not None:
            raise error
        return {"http_status": 200}


@pytest.fixture
async def harness(make_settings: Callable[..., Settings]) -> AsyncIterator[WorkerHarness]:
    calls.__init__()
    settings = make_settings(backoff_base_seconds=0.02, attempts_max=3, lease_seconds=60, wake_timeout_seconds=0.05)
    async with open_harness(settings, Slow) as opened:
        yield opened
    calls.__init__()  # its errors refer to the runs of the test


class LateRun:
    """Worker that lost its lease during an effect, while another worker took over."""

    def __init__(self, harness: WorkerHarness) -> None:
        self.harness = harness
        self.worker = harness.worker("stalled")
        self.event_id = ""

    async def start(self, actions: str) -> None:
        await self.harness.publish(rule("a", actions))
        self.event_id = await self.harness.send()
        self._running = asyncio.create_task(self.worker.async_run())
        await until(lambda: len(calls.answers) == 1)

    async def expire_lease(self) -> None:
        # The worker would claim the job again, also by a claim that has begun.
        self.worker.claims.stop()
        await until(lambda: not self.worker.claims.claiming)
        await expire_lease(self.harness)

    async def take_over(self) -> None:
        await self.expire_lease()
        await self.harness.run_worker()

    async def finish(self, error: WaybillError | None) -> None:
        """Answer the first call of the action, and stop the worker."""
        calls.answers[0].set_result(error)
        self.worker.handle_sig_wait_for_completion(15)  # type: ignore[arg-type]
        await asyncio.wait_for(self._running, PATIENCE_SECONDS)
        await self.worker.close()

    async def stored(self) -> dict[str, Any]:
        return await self.harness.stored_event(self.event_id)


TWO = '{id: x, do: slow}, {id: y, do: log, message: "{id}"}'


@pytest.mark.parametrize(
    ("error", "state", "outcome", "ledger"),
    [
        (nothing, "ended", "matched", "dd"),
        (rejected, "dead", "effect_failed", "fp"),
        (unproven, "dead", "outcome_unknown", "up"),
    ],
)
async def test_late_result_settles_an_effect_with_an_unknown_outcome(
    harness: WorkerHarness, error: MakeError, state: str, outcome: str, ledger: str
) -> None:
    late = LateRun(harness)
    await late.start(TWO)
    await late.take_over()
    assert ((await late.stored())["error_kind"], (await late.stored())["ledger"]) == ("outcome_unknown", "up")
    await late.finish(error())
    await harness.run_worker()
    stored = await late.stored()
    end = stored["error_kind"] if state == "dead" else stored["outcome"]
    assert (stored["state"], end, stored["ledger"]) == (state, outcome, ledger)
    assert len(calls.keys) == 1
    assert late.worker.leases_lost == 1


async def test_late_proof_that_the_effect_did_not_happen_starts_it_again(harness: WorkerHarness) -> None:
    late = LateRun(harness)
    await late.start(TWO)
    await late.take_over()
    await late.finish(proven())
    run = asyncio.create_task(harness.run_worker())
    await until(lambda: len(calls.answers) == 2)
    calls.answers[1].set_result(None)
    await run
    assert ((await late.stored())["state"], (await late.stored())["ledger"]) == ("ended", "dd")
    assert len(set(calls.keys)) == 1


async def test_unsafe_effect_whose_request_the_expired_lease_stopped_starts_again(harness: WorkerHarness) -> None:
    late = LateRun(harness)
    await late.start(TWO)
    (job,) = late.worker.jobs_held.values()
    await late.take_over()
    assert (await late.stored())["error_kind"] == "outcome_unknown"
    job.lease.expires_at = 0
    await late.finish(None)
    assert (await late.stored())["ledger"] == "wp"
    run = asyncio.create_task(harness.run_worker())
    await until(lambda: len(calls.answers) == 2)
    calls.answers[1].set_result(None)
    await run
    stored = await late.stored()
    assert (stored["state"], stored["ledger"]) == ("ended", "dd")
    effects = [line.get("error_kind") for line in stored["history"] if line["entry"] == "effect"]
    assert "lease_lost" in effects


async def test_unsafe_effect_with_an_earlier_request_has_an_unknown_outcome_after_a_stopped_one(
    harness: WorkerHarness,
) -> None:
    calls.has_two_requests = True
    late = LateRun(harness)
    await late.start(TWO)
    (job,) = late.worker.jobs_held.values()
    await late.take_over()
    before = await late.stored()
    job.lease.expires_at = 0
    await late.finish(None)
    assert before["error_kind"] == "outcome_unknown"
    assert await late.stored() == before


async def test_late_result_of_an_effect_that_a_replay_started_again_is_superseded(harness: WorkerHarness) -> None:
    late = LateRun(harness)
    await late.start(TWO)
    await late.take_over()
    replay = plan_replay(await late.stored(), rerun_done=False)
    assert not isinstance(replay, str)
    await harness.store.replays.replay([replay])
    run = asyncio.create_task(harness.run_worker())
    await until(lambda: len(calls.answers) == 2)
    calls.answers[1].set_result(unproven())
    await run
    before = await late.stored()
    assert before["error_kind"] == "outcome_unknown"
    await late.finish(None)
    assert await late.stored() == before


async def test_late_result_waits_for_a_running_attempt_and_expires(harness: WorkerHarness) -> None:
    late, now = LateRun(harness), [0.0]
    late.worker.queues[0].late_writes._clock = lambda: now[0]
    await late.start(TWO)
    await late.expire_lease()
    (job,) = (await harness.store.leases("other").claim(1)).jobs
    await late.finish(None)
    assert (await late.stored())["ledger"] == "sp"
    assert late.worker.queues[0].late_writes._results
    now[0] = LATE_RESULT_SECONDS_MAX + 1
    await late.worker.queues[0].late_writes.write()
    assert not late.worker.queues[0].late_writes._results
    assert (await late.stored())["running"] == job.token


async def test_result_during_an_outage_of_the_store_is_written_after_it(
    harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outage is longer than the lease, and no other worker took over."""
    late = LateRun(harness)
    await late.start(TWO)
    lanes = harness.store.lanes
    settle = lanes.settle

    async def fail(_: Any) -> Any:
        raise StoreUnavailable("down")

    monkeypatch.setattr(lanes, "settle", fail)
    calls.answers[0].set_result(None)
    await until(lambda: bool(late.worker.queues[0].late_writes._releases) or not late.worker.tasks)
    monkeypatch.setattr(lanes, "settle", settle)
    await until(lambda: _has_ended(late))
    late.worker.handle_sig_wait_for_completion(15)  # type: ignore[arg-type]
    await late.worker.close()
    stored = await late.stored()
    assert (stored["outcome"], stored["ledger"], stored["attempts"]) == ("matched", "dd", "1")
    assert len(calls.keys) == 1


async def _has_ended(late: LateRun) -> bool:
    return (await late.stored())["state"] in {"ended", "dead"}
