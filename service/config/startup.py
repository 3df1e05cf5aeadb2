"""Startup of a process from waybill.yaml: its warnings in the log, and retention extended to the dedupe windows."""

from msgspec import structs

from service.config.loading import Config
from service.log import get_logger
from service.settings import Settings


def log_config_warnings(config: Config) -> None:
    """Log one line for each warning. A warning contains its path and no secret."""
    log = get_logger()
    for text in config.warnings:
        log.warning("config.warning", reason=text)


def extend_retention_to_dedupe_windows(settings: Settings, config: Config) -> Settings:
    """Return settings that keep decisions and the ledger at least as long as the longest dedupe window.

    Without the ledger, a redelivery or a replay inside the dedupe window would not find the effects that are done.
    """
    days = max(settings.dedupe_hours / 24, config.dedupe_days)
    return structs.replace(settings, decision_retention_days=max(settings.decision_retention_days, days))
