"""What a worker does beside its jobs outlives any bug in it, and the bug is told."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from service.platforms import CallContext, Platform
from service.platforms.base import RecordPage
from service.settings import Settings
from service.store import Store, open_store
from tests.waiting import until
from tests.workers.test_worker import make_functions, make_redis
from workers.polling.changes import PollSource
from workers.polling.poller import poll_all
from workers.worker import LeaseWorker

pytestmark = pytest.mark.store


class Lists:
    """A platform whose lists hold nothing, after as many bugs as are wished for."""

    def __init__(self, bugs: int) -> None:
        self.bugs = bugs
        self.asked = 0

    async def list_records(self, kind: str, cursor: str | None, context: CallContext) -> RecordPage:
        self.asked += 1
        if self.asked <= self.bugs:
            raise KeyError(kind, cursor, context)
        return RecordPage((), None, None)


@asynccontextmanager
async def beside(work: Any) -> AsyncGenerator[list[Mapping[str, Any]]]:
    with capture_logs() as lines:
        task = asyncio.ensure_future(work)
        try:
            yield cast("list[Mapping[str, Any]]", lines)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def finished(lines: Sequence[Mapping[str, Any]]) -> set[str]:
    return {line["source_name"] for line in lines if line["event"] == "poll.finished"}


async def test_a_bug_in_one_poll_is_told_and_ends_neither_it_nor_the_others(
    make_settings: Callable[..., Settings], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.background.PAUSE_SECONDS", 0.01)
    settings = make_settings(lease_seconds=0.5)
    broken, sound = Lists(1), Lists(0)
    platforms = cast("Mapping[str, Platform]", {"a": broken, "b": sound})
    polls = {name: PollSource(f"poll-{name}", name, "customer", 0.05, 60_000) for name in platforms}
    async with beside(poll_all(settings, store, platforms, polls)) as lines:
        await until(lambda: finished(lines) == {"poll-a", "poll-b"})
    (told,) = [line for line in lines if line["event"] == "background_task.crashed"]
    assert (told["task"], told["log_level"], told["exc_info"]) == ("poll poll-a", "error", True)


@pytest.mark.slow
async def test_leases_are_renewed_after_a_bug_in_renewing(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.background.PAUSE_SECONDS", 0.01)
    store = await open_store(make_settings(lease_seconds=1.5, drain_timeout_seconds=0.1))
    worker = LeaseWorker(make_functions([]), store, "w1", handle_signals=False)
    await make_redis(store).enqueue_job("slow")
    asked, renew = list[int](), worker.leases.renew

    async def renewing(leases: Any) -> Any:
        asked.append(len(leases))
        if len(asked) == 1:
            raise ZeroDivisionError
        return await renew(leases)

    monkeypatch.setattr(worker.leases, "renew", renewing)
    async with beside(worker.async_run()) as lines:
        await until(lambda: len(asked) > 4)
        assert (len(worker.tasks), worker.leases_lost) == (1, 0)
        await worker.close()
        await until(lambda: not worker.tasks)
    assert [line["task"] for line in lines if line["event"] == "background_task.crashed"] == ["leases"]
    await store.close()
