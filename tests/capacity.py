"""Formulas of docs/explanation/capacity.md."""

import re
from pathlib import Path

from service.settings import Settings, load_settings

PAGE = Path(__file__).parents[1] / "docs/explanation/capacity.md"
FORMULAS = ("waiting", "bodies", "history", "records")
RETENTIONS = ("body_retention_hours", "decision_retention_days", "last_state_retention_days")


def settings_of(text: str) -> Settings:
    """Return the settings that a text names as `WAYBILL_NAME=VALUE`, and the defaults of the others."""
    return load_settings(dict(re.findall(r"`(WAYBILL_\w+)=([\w.]+)`", text)))


def maxmemory_gb(settings: Settings, *, n: float, b: float, o: float, r: float) -> float:
    """Evaluate the formulas: `n` events and `r` new records per second, bodies of `b` bytes, outage of `o` seconds."""
    page = PAGE.read_text()
    known = {name.upper(): getattr(settings, name) for name in RETENTIONS}
    # The ledger stays for the dedupe window.
    known["DECISION_RETENTION_DAYS"] = max(known["DECISION_RETENTION_DAYS"], settings.dedupe_hours / 24)
    total = 0.0
    for name in FORMULAS:
        ((text,),) = [re.findall(rf"(?m)^{name} +=(.*?)(?:  .*)?$", page)]
        text = text.replace("\u00d7", "*").replace(",", "").replace("WAYBILL_", "")
        assert re.fullmatch(r"[\w\s*/+().]+", text), text
        total += eval(text, {}, {**known, "n": n, "b": b, "o": o, "r": r})  # noqa: S307 - only arithmetic, checked above
    return total / (settings.store_memory_percent_max / 100) / 1e9
