"""Watches the published rulebook and compiles new versions. A rejected version leaves the last valid one active."""

import asyncio
from collections.abc import Sequence

import structlog

from service.actions import Action
from service.background import TaskFailures
from service.errors import ConfigError, StoreNotDurable, StoreUnavailable, WaybillError
from service.metrics.families import RULEBOOK, RULEBOOKS_REJECTED
from service.mistakes import format_for_log
from service.outage_log import log_outage
from service.records import RECORDS, RecordTypes
from service.rules import Rulebook
from service.store.rulebook import RulebookStore


class RulebookWatcher:
    """Holds the active rulebook. No event is decided before the first version is published."""

    def __init__(
        self,
        store: RulebookStore,
        actions: Sequence[type[Action]],
        refresh_seconds: float,
        records: RecordTypes = RECORDS,
    ) -> None:
        self._store = store
        self._actions = actions
        self._records = records
        self._refresh_seconds = refresh_seconds
        self._rejected_version: str | None = None
        self._document = b""
        self._activation_lock = asyncio.Lock()
        self._log = structlog.get_logger()
        self.rulebook: Rulebook | None = None

    async def run(self) -> None:
        """Check for a new version every `refresh_seconds`, until cancelled."""
        failures = TaskFailures("rulebook")
        while True:
            with failures.handled():
                error = await self.refresh()
                if error is not None:
                    raise error
            await asyncio.sleep(self._refresh_seconds)

    async def wait_for_first(self) -> None:
        """Wait for the first rulebook. Logs once whether the store or the rulebook is missing."""
        logged = set[str]()
        while True:
            error = await self.refresh()
            if self.rulebook is not None:
                return
            self._log_wait(error, logged)
            await asyncio.sleep(self._refresh_seconds)

    def _log_wait(self, error: WaybillError | None, logged: set[str]) -> None:
        event = error.kind if error else "rulebook.missing"
        if event in logged or (error is None and self._rejected_version):
            return
        logged.add(event)
        if error:
            log_outage(error, "the worker does not start")
        else:
            self._log.warning(
                "rulebook.missing", reason="no rulebook is published; events wait. Run: waybill rules apply"
            )

    async def refresh(self) -> WaybillError | None:
        """Activate the published version if it is new and valid. Return the error of the store, or None."""
        try:
            version = await self._store.version()
            if (
                version is None
                or version == self._rejected_version
                or (self.rulebook and version == self.rulebook.version)
            ):
                return None
            document = await self._store.document(version)
        except (StoreUnavailable, StoreNotDurable) as error:
            return error
        async with self._activation_lock:
            if document is not None and (self.rulebook is None or version != self.rulebook.version):
                # checked again: a concurrent refresh may have activated the same version
                await self._activate(version, document)
        return None

    async def use_records(self, records: RecordTypes) -> None:
        """Compile the active rulebook again for other types of records.

        Raises:
            ConfigError: A rule does not fit them. The previous types and rulebook stay active.
        """
        async with self._activation_lock:
            if records == self._records:
                return
            if self.rulebook is not None:
                self.rulebook = await asyncio.to_thread(Rulebook.load, self._document, self._actions, records)
            self._records, self._rejected_version = records, None

    async def _activate(self, version: str, document: bytes) -> None:
        previous = self.rulebook.version if self.rulebook else None
        try:
            # In a thread: a thousand rules take most of a second to compile, which would block the event loop.
            self.rulebook = await asyncio.to_thread(Rulebook.load, document, self._actions, self._records)
        except ConfigError as error:
            # Otherwise each refresh would compile and reject the version again.
            self._rejected_version = version
            RULEBOOKS_REJECTED.inc()
            self._log.error(
                "rulebook.rejected", rulebook=version, active=previous, reason=format_for_log(error.mistakes)
            )
            return
        self._document = document
        RULEBOOK.set_all({(version,): len(self.rulebook.rules)})
        self._log.info("rulebook.activated", rulebook=version, previous=previous, rules=len(self.rulebook.rules))
