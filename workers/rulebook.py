"""The rulebook a worker decides by: the version in force, compiled, followed as it changes, the last good one kept."""

import asyncio
from collections.abc import Sequence

import structlog

from service.actions import Action
from service.errors import ConfigError, StoreUnavailable, StoreUnsafe, WaybillError
from service.metrics.families import RULEBOOK, RULEBOOKS_REFUSED
from service.rules import Rulebook
from service.store.rulebook import RulebookShelf


class RulebookInForce:
    """Follows the shelf. Until a first version is published there is nothing to decide by, and no event is decided."""

    def __init__(self, shelf: RulebookShelf, actions: Sequence[type[Action]], seconds_max: float) -> None:
        self._shelf = shelf
        self._actions = actions
        self._seconds_max = seconds_max
        self._refused: str | None = None
        self._switching = asyncio.Lock()
        self._log = structlog.get_logger()
        self.rulebook: Rulebook | None = None

    async def follow(self) -> None:
        """Look for a new version every `seconds_max` seconds, until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(self._seconds_max)

    async def first(self) -> None:
        """Wait until there is a rulebook; says once in the log what it waits for: the store, or a rulebook in it."""
        told = set[str]()
        while True:
            trouble = await self.refresh()
            if self.rulebook is not None:
                return
            self._tell_wait(trouble, told)
            await asyncio.sleep(self._seconds_max)

    def _tell_wait(self, trouble: WaybillError | None, told: set[str]) -> None:
        event = "store.unavailable" if trouble else "rulebook.missing"
        if event in told or (trouble is None and self._refused):
            return
        told.add(event)
        if trouble:
            self._log.error("store.unavailable", error_kind=trouble.kind, reason=str(trouble))
        else:
            self._log.warning(
                "rulebook.missing", reason="no rulebook is published; events wait. Run: waybill rules apply"
            )

    async def refresh(self) -> WaybillError | None:
        """Switch to the version in force, if another one is there that loads; give the store's failure, if any."""
        try:
            version = await self._shelf.version()
            if version is None or version == self._refused or (self.rulebook and version == self.rulebook.version):
                return None
            document = await self._shelf.document(version)
        except (StoreUnavailable, StoreUnsafe) as error:
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
            self._refused = version
            RULEBOOKS_REFUSED.add()
            self._log.error("rulebook.rejected", rulebook=version, active=before, reason=str(error))
            return
        RULEBOOK.put({(version,): len(self.rulebook.rules)})
        self._log.info("rulebook.activated", rulebook=version, previous=before, rules=len(self.rulebook.rules))
