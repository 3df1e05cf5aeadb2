"""Litestar plugins of installed packages, such as middleware, exception handlers or hooks for both ports."""

from importlib.metadata import entry_points
from typing import Any

from litestar.plugins import InitPlugin

from service.errors import ConfigError

ENTRY_POINT_GROUP = "waybill.litestar_plugins"


def load_plugins() -> list[InitPlugin]:
    """Create the plugins of the entry point group: each entry point is a class without arguments or a function.

    Raises:
        ConfigError: an entry point returns something else than a Litestar plugin.
    """
    plugins: list[InitPlugin] = []
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        plugin: Any = entry.load()()
        if not isinstance(plugin, InitPlugin):
            fix = "return a subclass of litestar.plugins.InitPlugin, or uninstall the package"
            raise ConfigError(f"{ENTRY_POINT_GROUP}.{entry.name}", f"{entry.value} is not a Litestar plugin", fix)
        plugins.append(plugin)
    return plugins
