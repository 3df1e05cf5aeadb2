"""Store of the ingress: opened after the start, checked periodically, rejected while it is not durable.

The process starts without a store and answers 503 until it is there. An exit would only add restarts to an outage.
A store that is not durable is not used: an acknowledged event could be lost. Neither is a store that lost its data.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from service.errors import ConfigError, StoreNotDurable, StoreScriptFailed, StoreUnavailable, WaybillError
from service.log import get_logger
from service.outage_log import OutageLog, log_outage
from service.settings import Settings
from service.store import IngestRequest, IngestResult, QuarantinedDelivery, QueueStats, Shards

PROBE_INTERVAL_SECONDS = 2.0
"""Interval of checks."""
REMINDER_SECONDS = 60.0
"""Interval of log lines while the store is not durable or lost. Alerts count them."""


class StoreMonitor:
    """EventStore that opens when the store is reachable: call `probe` once, `run` in a task, `close` at the end."""

    def __init__(self, settings: Settings, open_store: Callable[[Settings], Awaitable[Shards]]) -> None:
        self._log = get_logger()
        self._settings = settings
        self._open_store = open_store
        self._store: Shards | None = None
        self._error: WaybillError | None = StoreUnavailable("the store was not reached yet")
        self._logged_kind: str | None = None  # kind of the error that was logged last
        self._logged_shards: list[str] = []  # shards that were logged as unavailable last
        self._logged_reason: str | None = None  # problem of the store that was logged last
        self._reminder_due = 0.0
        self._uncounted = OutageLog("arrivals are not counted")

    @property
    def opened(self) -> Shards:
        """The open store.

        Raises:
            StoreUnavailable: the store was not reached yet.
            StoreNotDurable: the store does not provide WAYBILL_DURABILITY.
        """
        # Call a store that was unavailable at the last check: the call shows sooner than the next check if it is back.
        if self._store is None or isinstance(self._error, StoreNotDurable):
            raise self._error or StoreUnavailable("the store was not reached yet")
        return self._store

    def ingest_all(self, requests: Sequence[IngestRequest], /) -> Awaitable[list[IngestResult]]:
        """Ingest the events of one delivery, all or none.

        Raises:
            StoreUnavailable, StoreFull, StoreNotDurable: the events cannot be stored durably.
        """
        return self.opened.ingest_all(requests)

    def check(self) -> Awaitable[Mapping[str, str]]:
        """Check that an event can be stored durably now; return the shards that accept none, with the reasons.

        Raises:
            StoreUnavailable, StoreFull, StoreNotDurable: it cannot be stored.
        """
        return self.opened.check()

    async def samples(self) -> Sequence[QueueStats | None]:
        """Return the queue statistics of each shard, None for a shard whose store did not answer.

        Raises:
            StoreUnavailable, StoreNotDurable: the store does not answer or is not used.
        """
        return await self.opened.samples()

    async def open_circuits(self) -> dict[str, float]:
        """Return the seconds until the next probe of each circuit with recent failures; 0: closed.

        Raises:
            StoreUnavailable, StoreNotDurable: the store does not answer or is not used.
        """
        return await self.opened.open_circuits()

    def quarantine_deliveries(self, deliveries: Sequence[QuarantinedDelivery], /) -> Awaitable[int]:
        """Put rejected deliveries of one source into quarantine; return how many older ones were removed.

        Raises:
            StoreUnavailable, StoreFull, StoreNotDurable: the deliveries may not be stored.
        """
        return self.opened.quarantine_deliveries(deliveries)

    def record_untrusted_proxy(self, peer: str, /) -> Awaitable[None]:
        """Store the address of a proxy that WAYBILL_TRUSTED_PROXIES does not name.

        Raises:
            StoreUnavailable, StoreNotDurable: it may not be stored.
        """
        return self.opened.record_untrusted_proxy(peer)

    async def probe(self) -> None:
        """Open the store, or check the open one, and log changes.

        Raises:
            ConfigError: the store cannot be opened with these settings.
        """
        try:
            if self._store is None:
                self._store, unavailable = await self._open_store(self._settings), {}
            else:
                unavailable = await self._store.check()
        except ConfigError:
            # Permanent: the process ends, to be restarted with a corrected configuration.
            raise
        except WaybillError as error:
            self._record_state(error)
        except Exception as error:  # noqa: BLE001 - a library's error must not end the monitoring
            self._record_state(StoreUnavailable(f"{type(error).__name__}: {error}", self._settings.retry_after_seconds))
        else:
            self._record_state(None)
            self._record_shards(unavailable)

    async def run(self) -> None:
        """Probe periodically, until cancelled."""
        while True:
            await asyncio.sleep(PROBE_INTERVAL_SECONDS)
            await self.probe()
            await self._flush_arrivals()

    async def close(self) -> None:
        """Close the store, if it was opened."""
        if self._store is not None:
            await self._flush_arrivals()
            await self._store.close()

    async def _flush_arrivals(self) -> None:
        """Add the counts of arrivals to the store. While it does not answer, they wait."""
        if self._store is None or self._error is not None:
            return
        try:
            await self._store.flush_arrivals()
        except StoreScriptFailed as error:  # no outage: a permission is missing
            self._uncounted.begin(error)
        except (StoreUnavailable, StoreNotDurable):
            pass  # the next check reports it
        else:
            self._uncounted.end()

    def _record_state(self, error: WaybillError | None) -> None:
        before, self._error = self._error, error
        if isinstance(error, StoreNotDurable):
            self._log_unusable(error)
        elif error is None:
            if before is not None:
                self._log.info("store.recovered", durability=self._settings.durability)
        elif self._logged_kind != error.kind:
            self._log.error("store.unavailable", error_kind=error.kind, reason=str(error))
        self._logged_kind = error.kind if error else None
        self._logged_reason = str(error) if isinstance(error, StoreNotDurable) else None

    def _record_shards(self, unavailable: Mapping[str, str]) -> None:
        if list(unavailable) == self._logged_shards:
            return
        if unavailable:
            reason = f"shards {', '.join(unavailable)}: {next(iter(unavailable.values()))}"
            self._log.error("store.unavailable", error_kind=StoreUnavailable.kind, reason=reason)
        else:
            self._log.info("store.recovered", durability=self._settings.durability)
        self._logged_shards = list(unavailable)

    def _log_unusable(self, error: StoreNotDurable) -> None:
        now = time.monotonic()
        if str(error) == self._logged_reason and now < self._reminder_due:
            return
        self._reminder_due = now + REMINDER_SECONDS
        log_outage(error, "deliveries are answered 503 until then")
