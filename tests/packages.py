"""Packages with entry points that a test installs."""

from service.extensions import installed_entry_points
from service.log_processors import load_log_processors


def refresh_packages() -> None:
    """Read the entry points of installed packages again at the next use."""
    installed_entry_points.cache_clear()
    load_log_processors.cache_clear()
