"""Packages with entry points that a test installs."""

import sys
from pathlib import Path

from service.extensions import installed_entry_points
from service.log_processors import load_log_processors


def refresh_packages() -> None:
    """Read the entry points of installed packages again at the next use."""
    installed_entry_points.cache_clear()
    load_log_processors.cache_clear()


def unload_modules(folder: Path) -> None:
    """Remove the modules of a folder, so that the next test imports its own module of the same name."""
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(f"{folder}/"):
            del sys.modules[name]
