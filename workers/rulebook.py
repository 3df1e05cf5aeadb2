"""The rulebook a worker decides by: the version in force, compiled, followed as it changes, the last good one kept."""

import asyncio
from collections.abc import Sequence

import structlog

from service.actions import Action
from service.errors import ConfigError, StoreUnavailable, StoreUnsafe
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
        """Wait until there is a rulebook; says so in the log where it has to wait."""
        await self.refresh()
        if self.rulebook is None:
            self._log.warning(
                "rulebook.missing", reason="no rulebook is published; events wait. Run: waybill rules apply"
            )
        while self.rulebook is None:
            await asyncio.sleep(self._seconds_max)
            await self.refresh()

    async def refresh(self) -> None:
        """Switch to the version in force, if it is another one and can be loaded."""
        try:
            version = await self._shelf.version()
            if version is None or version == self._refused or (self.rulebook and version == self.rulebook.version):
                return
            document = await self._shelf.document(version)
        except (StoreUnavailable, StoreUnsafe):
            return
        async with self._switching:
            if document is not None and (self.rulebook is None or version != self.rulebook.version):
                # asked again, since two may have waited for the same document
                await self._switch(version, document)

    async def _switch(self, version: str, document: bytes) -> None:
        before = self.rulebook.version if self.rulebook else None
        try:
            # A thousand rules take most of a second to compile, which the loop cannot stand still for.
            self.rulebook = await asyncio.to_thread(Rulebook.load, document, self._actions)
        except ConfigError as error:
            self._refused = version
            RULEBOOKS_REFUSED.add()
            self._log.error("rulebook.refused", rulebook=version, kept=before, reason=str(error))
            return
        RULEBOOK.put({(version,): len(self.rulebook.rules)})
        self._log.info("rulebook.switched", rulebook=version, previous=before, rules=len(self.rulebook.rules))
