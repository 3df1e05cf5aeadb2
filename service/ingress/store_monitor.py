"""Store of the ingress: opened after the start, checked periodically, rejected while it is not durable.

The process starts without a store and answers 503 until it is there. An exit would only add restarts to an outage.
A store without the promised durability is not used: an acknowledged event could be lost.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from service.errors import ConfigError, StoreNotDurable, StoreUnavailable, WaybillError
from service.log import get_logger
from service.settings import Settings
from service.store import IngestRequest, IngestResult, QuarantinedDelivery, QueueStats, Shards, Store

PROBE_INTERVAL_SECONDS = 2.0
"""How often the store is looked at, and so how often an unsafe one is told of."""


class StoreMonitor:
    """An EventStore that opens itself when it can: call `probe` once, run `run` in a task, `close` at the end."""

    def __init__(self, settings: Settings, open_store: Callable[[Settings], Awaitable[Store | Shards]]) -> None:
        self._log = get_logger()
        self._settings = settings
        self._open_store = open_store
        self._store: Store | Shards | None = None
        self._trouble: WaybillError | None = StoreUnavailable("the store was not reached yet")
        self._logged_kind: str | None = None  # the kind of trouble that the log knows of

    @property
    def opened(self) -> Store | Shards:
        """The open store.

        Raises:
            StoreUnavailable: it was not reached yet.
            StoreNotDurable: it does not keep what was promised.
        """
        # A store that is only away is asked all the same: the call tells sooner than the next look.
        if self._store is None or isinstance(self._trouble, StoreNotDurable):
            raise self._trouble or StoreUnavailable("the store was not reached yet")
        return self._store

    def ingest_all(self, arrivals: Sequence[IngestRequest], /) -> Awaitable[list[IngestResult]]:
        """Take in the events of one delivery, all or none.

        Raises:
            StoreUnavailable, StoreFull, StoreUnsafe: it cannot.
        """
        return self.opened.ingest_all(arrivals)

    def check(self) -> Awaitable[None]:
        """Return if the store can accept durably now.

        Raises:
            StoreUnavailable, StoreFull, StoreUnsafe: it cannot.
        """
        return self.opened.check()

    async def sample(self) -> QueueStats:
        """Count what waits.

        Raises:
            StoreUnavailable, StoreUnsafe: it cannot.
        """
        return await self.opened.sample()

    def quarantine_deliveries(self, deliveries: Sequence[QuarantinedDelivery], /) -> Awaitable[int]:
        """Put refused deliveries of one source into quarantine; give how many older ones had to go.

        Raises:
            StoreUnavailable, StoreFull, StoreUnsafe: they are not known to be kept.
        """
        return self.opened.quarantine_deliveries(deliveries)

    async def probe(self) -> None:
        """Open the store, or check the open one, and tell what changed.

        Raises:
            ConfigError: no waiting will open it.
        """
        try:
            if self._store is None:
                self._store = await self._open_store(self._settings)
            else:
                await self._store.check()
        except ConfigError:
            # What cannot be read stays so: the process ends, and is started again with another one.
            raise
        except WaybillError as error:
            self._note(error)
        except Exception as error:  # noqa: BLE001 - a library's error must not end the watch
            self._note(StoreUnavailable(f"{type(error).__name__}: {error}", self._settings.retry_after_seconds))
        else:
            self._note(None)

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(PROBE_INTERVAL_SECONDS)
            await self.probe()

    async def close(self) -> None:
        """Close the store, if it was opened."""
        if self._store is not None:
            await self._store.close()

    def _note(self, trouble: WaybillError | None) -> None:
        before, self._trouble = self._trouble, trouble
        if isinstance(trouble, StoreNotDurable):
            self._log.error(
                "store.not_durable", reason=str(trouble), fix="nothing is acknowledged until this is mended"
            )
        elif trouble is None:
            if before is not None:
                self._log.info("store.recovered", durability=self._settings.durability)
        elif self._logged_kind != trouble.kind:
            self._log.error("store.unavailable", error_kind=trouble.kind, reason=str(trouble))
        self._logged_kind = trouble.kind if trouble else None
