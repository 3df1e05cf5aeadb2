"""What every run of a job is given: the store, the platforms, the rules in force and what effects take."""

from collections.abc import Mapping

from msgspec import Struct

from service.platforms.base import Platform
from service.settings import Settings
from service.store import Shards, Store
from workers.processing.effects import EffectDependencies
from workers.processing.stale_reads import StaleReadPolicy
from workers.rulebook_watcher import RulebookWatcher


class WorkerDependencies(Struct, frozen=True):
    """What processing takes, joined once per worker."""

    settings: Settings
    store: Store
    platforms: Mapping[str, Platform]
    rules: RulebookWatcher
    effects: EffectDependencies
    intake: Store | Shards
    """Where derived events go: the store of their record, which is another one where there are several."""
    catching_up: StaleReadPolicy
