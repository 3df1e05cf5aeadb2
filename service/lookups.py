"""Look-ups: fetch the records that rules name beside the event's own, each at most once for one attempt.

The account's connector makes the calls, so that look-ups share its limits, its circuit breaker and its token.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec import structs

from service.errors import Deferred, PermanentError, TransientError
from service.events import RecordRef
from service.platforms.base import FetchedRecord
from service.rules.limits import LOOKUP_BYTES_MAX, LOOKUP_RECORDS_MAX, LOOKUP_SECONDS_MAX, LOOKUPS_AT_ONCE_MAX
from service.rules.lookups import MISSING, NO_RECORDS, TOO_MANY, LookedUpRecord, LookupRequest

CallError = TransientError | PermanentError | Deferred
ERROR_CHARACTERS_MAX = 300

FetchForLookup = Callable[[RecordRef], Awaitable[FetchedRecord]]
"""Fetches a record. Raises TransientError, PermanentError or Deferred."""
ScheduleRetry = Callable[[LookedUpRecord, CallError | None], None]
"""Raises the error of a look-up that is retried, without an error a Deferred; returns if there is no further retry."""


class RecordLookups:
    """The look-ups of one attempt. `found` has the results by lane, `body_bytes` the bytes of their responses."""

    def __init__(self, found: Mapping[str, LookedUpRecord] = NO_RECORDS, body_bytes: int = 0) -> None:
        self.found = dict(found)
        self.body_bytes = body_bytes
        # Bytes of the records of earlier attempts, and of each response in the order of the requests.
        self._earlier_bytes = body_bytes
        self._response_bytes: dict[str, int] = {}
        self._errors: dict[str, CallError] = {}
        self._deadline: float | None = None

    async def run(
        self, requests: Sequence[LookupRequest], fetch: FetchForLookup, schedule_retry: ScheduleRetry | None = None
    ) -> None:
        """Look up records. Without `schedule_retry` nothing is retried.

        Raises:
            TransientError, Deferred: A look-up that is retried failed.
        """
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + LOOKUP_SECONDS_MAX
        refs = {request.ref.lane: request.ref for request in requests if request.ref.lane not in self.found}
        allowed = max(LOOKUP_RECORDS_MAX - len(self.found), 0)
        for lane, ref in list(refs.items())[allowed:]:
            reason = f"more than {LOOKUP_RECORDS_MAX} records are looked up for the event"
            self.found[lane] = LookedUpRecord(ref=ref, error_kind=TOO_MANY, reason=reason)
        admitted = list(refs.values())[:allowed]
        self._response_bytes |= {ref.lane: 0 for ref in admitted}
        slots = asyncio.Semaphore(LOOKUPS_AT_ONCE_MAX)
        tasks = [asyncio.ensure_future(self._run_one(ref, fetch, slots)) for ref in admitted]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:  # one of them may have failed
                task.cancel()
        for request in requests:
            self._settle(request, schedule_retry)

    async def _run_one(self, ref: RecordRef, fetch: FetchForLookup, slots: asyncio.Semaphore) -> None:
        started = time.perf_counter()
        try:
            async with slots, asyncio.timeout_at(self._deadline):
                result = self._read(ref, await fetch(ref))
        except (TransientError, PermanentError, Deferred) as error:
            result = self._failed(ref, error)
        except TimeoutError:
            reason = f"no response within {LOOKUP_SECONDS_MAX:g} seconds for all look-ups of the event"
            result = self._failed(ref, TransientError("lookup_timeout", reason))
        self.found[ref.lane] = structs.replace(result, duration_ms=round((time.perf_counter() - started) * 1000, 2))
        self._drop_beyond_limit()

    def _read(self, ref: RecordRef, fetched: FetchedRecord) -> LookedUpRecord:
        if fetched.record is None:
            reason = f"{ref.platform} has no such {ref.kind} ({fetched.http_status})"
            return LookedUpRecord(ref=ref, is_final=False, error_kind=MISSING, reason=reason, digest=fetched.digest)
        self._response_bytes[ref.lane] = fetched.body_bytes
        digest = fetched.bytes_digest or fetched.digest  # for people only: needs no plain JSON of a typed record
        return LookedUpRecord(ref=ref, record=fetched.record, version=fetched.version, digest=digest)

    def _drop_beyond_limit(self) -> None:
        """Drop the records beyond LOOKUP_BYTES_MAX in the order of the requests, whatever the order of the responses.

        A record that is beyond it now stays so after further responses. So the kept ones never exceed the limit.
        """
        self.body_bytes = total = self._earlier_bytes
        for lane, response_bytes in self._response_bytes.items():
            total += response_bytes
            if total <= LOOKUP_BYTES_MAX:
                self.body_bytes = total
            elif lane in self.found and (result := self.found[lane]).record is not None:
                reason = f"the records that are looked up for the event are larger than {LOOKUP_BYTES_MAX} bytes"
                self.found[lane] = LookedUpRecord(
                    ref=result.ref, error_kind="lookup_too_large", reason=reason, duration_ms=result.duration_ms
                )

    def _failed(self, ref: RecordRef, error: CallError) -> LookedUpRecord:
        self._errors[ref.lane] = error
        status = f" ({error.http_status})" if error.http_status else ""
        return LookedUpRecord(
            ref=ref,
            is_final=False,
            error_kind=error.kind,
            reason=f"{ref.platform} gave no {ref.kind}: {error.kind}{status}",
            error=str(error)[:ERROR_CHARACTERS_MAX],
        )

    def _settle(self, request: LookupRequest, schedule_retry: ScheduleRetry | None) -> None:
        """Retry a failed look-up if its rule asks for it, or note that it is not retried any more."""
        result = self.found[request.ref.lane]
        if result.is_final or not request.retries:
            return
        if schedule_retry is not None:
            schedule_retry(result, self._errors.get(request.ref.lane))
        self.found[request.ref.lane] = structs.replace(result, is_final=True)
