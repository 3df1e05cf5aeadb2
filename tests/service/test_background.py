"""Background tasks: an unexpected exception is logged and the task restarts."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from service.background import REMINDER_SECONDS, TaskFailures
from service.errors import StoreNotDurable, StoreUnavailable
from service.metrics.families import TASK_FAILURES
from service.platforms import CallContext, Platform
from service.platforms.base import RecordPage
from service.settings import Settings
from service.store import Shards, Store, open_store
from tests.waiting import until
from tests.workers.test_worker import make_functions, make_redis
from workers.polling.changes import PollSource
from workers.polling.poller import poll_all
from workers.worker import LeaseWorker

pytestmark = pytest.mark.store


class FakeListPlatform:
    """Platform with empty lists. The first `failures` calls raise an exception."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0

    async def list_records(self, kind: str, cursor: str | None, context: CallContext) -> RecordPage:
        self.calls += 1
        if self.calls <= self.failures:
            raise KeyError(kind, cursor, context)
        return RecordPage((), None, None)


@asynccontextmanager
async def running(coroutine: Any) -> AsyncGenerator[list[Mapping[str, Any]]]:
    with capture_logs() as lines:
        task = asyncio.ensure_future(coroutine)
        try:
            yield cast("list[Mapping[str, Any]]", lines)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def finished_polls(lines: Sequence[Mapping[str, Any]]) -> set[str]:
    return {line["source_name"] for line in lines if line["event"] == "poll.finished"}


async def test_exception_in_one_poll_is_logged_and_all_polls_continue(
    make_settings: Callable[..., Settings], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.background.RESTART_SECONDS", 0.01)
    settings = make_settings(lease_seconds=0.5)
    broken, healthy = FakeListPlatform(1), FakeListPlatform(0)
    platforms = cast("Mapping[str, Platform]", {"a": broken, "b": healthy})
    polls = {name: PollSource(f"poll-{name}", name, "customer", 0.05, 60_000) for name in platforms}
    async with running(poll_all(settings, Shards([store]), platforms, polls)) as lines:
        await until(lambda: finished_polls(lines) == {"poll-a", "poll-b"})
    (crash,) = [line for line in lines if line["event"] == "background_task.crashed"]
    assert (crash["task"], crash["log_level"], crash["exc_info"]) == ("poll poll-a", "error", True)


@pytest.mark.slow
async def test_lease_renewal_continues_after_an_exception(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.background.RESTART_SECONDS", 0.01)
    store = await open_store(make_settings(lease_seconds=1.5, drain_timeout_seconds=0.1))
    worker = LeaseWorker(make_functions([]), Shards([store]), "w1", handle_signals=False)
    await make_redis(store).enqueue_job("slow")
    calls, renew = list[int](), worker.queues[0].leases.renew

    async def fail_once(leases: Any) -> Any:
        calls.append(len(leases))
        if len(calls) == 1:
            raise ZeroDivisionError
        return await renew(leases)

    monkeypatch.setattr(worker.queues[0].leases, "renew", fail_once)
    async with running(worker.async_run()) as lines:
        await until(lambda: len(calls) > 4)
        assert (len(worker.tasks), worker.leases_lost) == (1, 0)
        await worker.close()
        await until(lambda: not worker.tasks)
    assert [line["task"] for line in lines if line["event"] == "background_task.crashed"] == ["leases"]
    await store.close()


def test_failing_task_is_logged_once_a_minute_and_when_it_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    failures = TaskFailures("leases")
    counted = TASK_FAILURES.values.get(("leases", "store_unavailable"), 0)

    def run_step(error: Exception | None = None) -> None:
        with failures.handled():
            if error is not None:
                raise error

    with capture_logs() as lines:
        run_step()
        for _ in range(3):
            run_step(StoreUnavailable("it is down"))
        clock += REMINDER_SECONDS
        run_step(StoreUnavailable("it is down"))
        run_step()
        run_step()
        run_step(StoreNotDurable("unsafe"))
    assert [(line["event"], line["failures"], line.get("reason")) for line in lines] == [
        ("background_task.failed", 1, "it is down"),
        ("background_task.failed", 4, "it is down"),
        ("background_task.recovered", 4, None),
        ("background_task.failed", 1, "unsafe"),
    ]
    assert TASK_FAILURES.values[("leases", "store_unavailable")] == counted + 4


def test_other_errors_of_a_step_are_raised() -> None:
    with pytest.raises(ValueError, match="broken"), TaskFailures("leases").handled():
        raise ValueError("broken")
