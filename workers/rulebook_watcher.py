"""The rulebook a worker decides by: the version in force, compiled, followed as it changes, the last good one kept."""

import asyncio
from collections.abc import Sequence

import structlog

from service.actions import Action
from service.errors import ConfigError, StoreNotDurable, StoreUnavailable, WaybillError
from service.metrics.families import RULEBOOK, RULEBOOKS_REJECTED
from service.rules import Rulebook
from service.store.rulebook import RulebookStore


class RulebookWatcher:
    """Follows the shelf. Until a first version is published there is nothing to decide by, and no event is decided."""

    def __init__(self, store: RulebookStore, actions: Sequence[type[Action]], seconds_max: float) -> None:
        self._store = store
        self._actions = actions
        self._seconds_max = seconds_max
        self._rejected_version: str | None = None
        self._switching = asyncio.Lock()
        self._log = structlog.get_logger()
        self.rulebook: Rulebook | None = None

    async def run(self) -> None:
        """Look for a new version every `seconds_max` seconds, until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(self._seconds_max)

    async def wait_for_first(self) -> None:
        """Wait until there is a rulebook; says once in the log what it waits for: the store, or a rulebook in it."""
        logged = set[str]()
        while True:
            trouble = await self.refresh()
            if self.rulebook is not None:
                return
            self._log_wait(trouble, logged)
            await asyncio.sleep(self._seconds_max)

    def _log_wait(self, trouble: WaybillError | None, logged: set[str]) -> None:
        event = "store.unavailable" if trouble else "rulebook.missing"
        if event in logged or (trouble is None and self._rejected_version):
            return
        logged.add(event)
        if trouble:
            self._log.error("store.unavailable", error_kind=trouble.kind, reason=str(trouble))
        else:
            self._log.warning(
                "rulebook.missing", reason="no rulebook is published; events wait. Run: waybill rules apply"
            )

    async def refresh(self) -> WaybillError | None:
        """Switch to the version in force, if another one is there that loads; give the store's failure, if any."""
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
        async with self._switching:
            if document is not None and (self.rulebook is None or version != self.rulebook.version):
                # asked again, since two may have waited for the same document
                await self._switch(version, document)
        return None

    async def _switch(self, version: str, document: bytes) -> None:
        before = self.rulebook.version if self.rulebook else None
        try:
            # A thousand rules take most of a second to compile, which the loop cannot stand still for.
            self.rulebook = await asyncio.to_thread(Rulebook.load, document, self._actions)
        except ConfigError as error:
            # Or it would be compiled, and refused, again every second.
            self._rejected_version = version
            RULEBOOKS_REJECTED.inc()
            self._log.error("rulebook.rejected", rulebook=version, active=before, reason=str(error))
            return
        RULEBOOK.set_all({(version,): len(self.rulebook.rules)})
        self._log.info("rulebook.activated", rulebook=version, previous=before, rules=len(self.rulebook.rules))
