"""Plain arq jobs: arq's context and results, but an error causes a retry, and no job is lost.

arq 0.28 deletes a job if the function raises, times out, is unknown or cannot be decoded. Here the first two cases are
retried with backoff; the others become dead letters with their bytes.
"""

import asyncio
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import structlog
from arq import Retry
from arq.worker import Function, Worker

from service.metrics.families import JOBS_DEAD_LETTERED
from service.settings import Settings
from service.store import Job, JobEnd
from service.store.queue.arq_jobs import Payload, decode_job, encode
from workers.processing.retries import delay_seconds

REASON_CHARACTERS_MAX = 500


class ArqJobs:
    """Runs plain jobs with the functions and defaults of an arq worker."""

    def __init__(self, worker: Worker, settings: Settings) -> None:
        self._worker = worker
        self._settings = settings
        self._log = structlog.get_logger()

    async def run(self, job: Job, shared: Mapping[Any, Any], queue: str) -> JobEnd:
        """Run one job, count it as arq does, and return its end. `shared` is added to the context of the function."""
        end = await self._run(job, shared, queue)
        worker = self._worker
        if end.step == "bury":
            worker.jobs_failed += 1
            JOBS_DEAD_LETTERED.inc()
            self._log.error("job.dead_lettered", job=job.id, reason=end.argument)
        elif end.step == "retry":
            worker.jobs_retried += 1
        else:
            worker.jobs_complete += 1
        return end

    async def _run(self, job: Job, shared: Mapping[Any, Any], queue: str) -> JobEnd:
        if job.foreign_id:
            return JobEnd(job.foreign_id, job.token, "bury", "the job id is not UTF-8")
        if job.payload is None:
            return _dead_letter(job, "the payload is missing")
        try:
            payload = decode_job(job.payload)
        except ValueError as error:
            return _dead_letter(job, f"this version cannot decode the payload: {error}")
        function = self._worker.functions.get(payload.function)
        if not isinstance(function, Function):
            return _dead_letter(job, f"this worker has no function {payload.function!r}")
        return await self._call(job, payload, function, {**shared, **_context(job, payload)}, queue)

    async def _call(
        self, job: Job, payload: Payload, function: Function, context: dict[Any, Any], queue: str
    ) -> JobEnd:
        worker, started_ms = self._worker, int(time.time() * 1000)
        try:
            async with asyncio.timeout(worker.job_timeout_s if function.timeout_s is None else function.timeout_s):
                result = await function.coroutine(context, *payload.args, **payload.kwargs)
        except Retry as retry:
            return JobEnd(job.id, job.token, "retry", retry.defer_score or 0)
        except Exception as error:  # noqa: BLE001 - a job may raise any exception and must not be lost
            return self._failed(job, error, worker.max_tries if function.max_tries is None else function.max_tries)
        keep_seconds = worker.keep_result_s if function.keep_result_s is None else function.keep_result_s
        ended = (result, started_ms, queue)
        return JobEnd(job.id, job.token, "done", _result(job, payload, ended), int((keep_seconds or 0) * 1000))

    def _failed(self, job: Job, error: Exception, tries_max: int) -> JobEnd:
        if job.tries >= tries_max:
            return _dead_letter(job, f"{type(error).__name__}: {error}")
        seconds = delay_seconds(self._settings, job.tries, random.random())  # noqa: S311 - jitter
        return JobEnd(job.id, job.token, "retry", int(seconds * 1000))


def _dead_letter(job: Job, reason: str) -> JobEnd:
    return JobEnd(job.id, job.token, "bury", reason[:REASON_CHARACTERS_MAX])


def _context(job: Job, payload: Payload) -> dict[str, Any]:
    """Return the `ctx` entries that arq sets for each job."""
    enqueued_at = datetime.fromtimestamp(payload.enqueued_ms / 1000, UTC)
    tries = max(job.tries, payload.attempt or 0)
    return {"job_id": job.id, "job_try": tries, "score": job.due_ms, "enqueue_time": enqueued_at}


def _result(job: Job, payload: Payload, ended: tuple[object, int, str]) -> bytes:
    """Encode a result as arq 0.28 does in `arq.jobs.serialize_result`. `ended` is result, start time and queue."""
    result, started_ms, queue = ended
    called = {"t": job.tries, "f": payload.function, "a": payload.args, "k": payload.kwargs, "et": payload.enqueued_ms}
    ran = {"s": True, "r": result, "st": started_ms, "ft": int(time.time() * 1000), "q": queue, "id": job.id}
    return encode(called | ran)
