"""Trying rules without acting, for a person: on a stored event, on a record fetched now, on the last events."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from service.actions import Action
from service.dry_runs import (
    DryRun,
    RulebookComparison,
    StoreForLane,
    compare_on_recent_events,
    dry_run_event,
    dry_run_record,
    load_rulebook,
    recent_events,
    stored_event,
)
from service.errors import Rejection
from service.events import RecordRef
from service.oversight.places import NamedStores
from service.oversight.rulebooks import get_rulebook
from service.platforms import Platform
from service.rules import Rule, Rulebook, write_document


class Candidate(Struct, frozen=True):
    """By what to judge: these rules instead of all in force, or a former version; left out, the rules in force."""

    rules: Sequence[Rule] | None = None
    version: str | None = None


class DryRunner(Struct, frozen=True):
    """What a dry run stands on."""

    places: NamedStores
    store_of: StoreForLane
    platforms: Mapping[str, Platform]
    actions: Sequence[type[Action]]

    async def load(self, candidate: Candidate) -> Rulebook:
        """Compile the rules that are to be tried.

        Raises:
            Rejection: 404 `not_found`: no such version.
            ConfigError: a mistake in them.
            StoreUnavailable: the store does not answer.
        """
        if candidate.rules is not None:
            return await load_rulebook(write_document((), candidate.rules), self.actions)
        document = (await get_rulebook(self.places, candidate.version)).document
        return await load_rulebook(write_document(document.file_rules, document.api_rules), self.actions)

    async def dry_run_event(self, candidate: Candidate, event_id: str) -> DryRun:
        """Judge the record of a stored event, fetched now.

        Raises:
            Rejection: 404 `not_found`.
            ConfigError, StoreUnavailable, TransientError, PermanentError, Held: as `dry_run_event`.
        """
        rulebook = await self.load(candidate)
        # Whatever else stands in a path is no id, and could name another key.
        for place in self.places if event_id.isalnum() else ():
            event = await stored_event(place.store, event_id)
            if event is not None:
                return await dry_run_event(rulebook, place.store, self.platforms, event)
        raise Rejection(404, "not_found", f"There is no event {event_id[:64]}.")

    async def dry_run_record(self, candidate: Candidate, ref: RecordRef) -> DryRun:
        """Judge a record fetched now, as `dry_run_record`."""
        return await dry_run_record(await self.load(candidate), self.store_of(ref.lane), self.platforms, ref)

    async def compare(self, candidate: Candidate, events: int) -> RulebookComparison:
        """Judge the last stored events by a candidate and by the rules in force, and tell the differences."""
        live, tried = await self.load(Candidate()), await self.load(candidate)
        found = await recent_events([place.store for place in self.places], events)
        return await compare_on_recent_events(live, tried, self.store_of, self.platforms, found)
