"""How long what was decided is kept, where the settings alone do not say it. Pure."""

from msgspec import structs

from service.config import Config
from service.config.checks import redelivery_hours
from service.settings import Settings


def extend_retention_to_dedupe_windows(settings: Settings, config: Config) -> Settings:
    """Keep decisions, and with them the ledger of effects, at least as long as any claim.

    A ledger that is gone while its event's claim still stands could not say what a redelivery or a replay finds done.
    """
    windows = [
        source.dedupe_hours or redelivery_hours(source, config.platforms[source.platform])
        for source in config.sources.values()
    ]
    days = max(settings.dedupe_hours, *windows, 0.0) / 24
    return structs.replace(settings, decision_retention_days=max(settings.decision_retention_days, days))
