"""Dependencies of every job: store, platforms, active rulebook and the dependencies of effects."""

from collections.abc import Mapping

from msgspec import Struct, structs

from service.platforms.base import Platform
from service.settings import Settings
from service.store import Shards, Store
from service.throttles.throttles import SharedThrottles
from workers.processing.action_calls import EffectDependencies
from workers.processing.effect_policy import NO_POLICY, EffectPolicy
from workers.processing.stale_reads import StaleReadPolicy
from workers.processing.undecided_events import UndecidedEvents
from workers.rulebook_watcher import RulebookWatcher


class WorkerDependencies(Struct, frozen=True):
    """Dependencies of processing, built again when waybill.yaml changes. `store` is the shard of the job."""

    settings: Settings
    store: Store
    platforms: Mapping[str, Platform]
    rules: RulebookWatcher
    effects: EffectDependencies
    intake: Shards
    """Receives derived events: each event goes to the shard of its record."""
    stale_reads: StaleReadPolicy
    throttles: SharedThrottles
    undecided: UndecidedEvents
    """Records of events that wait for a look-up."""
    policy: EffectPolicy = NO_POLICY
    """Changes the planned effects of a decision."""

    def on(self, store: Store) -> "WorkerDependencies":
        """Return the dependencies of a job in a shard."""
        return structs.replace(self, store=store, effects=structs.replace(self.effects, store=store))
