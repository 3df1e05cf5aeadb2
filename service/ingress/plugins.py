"""Litestar plugins of installed packages, such as middleware, exception handlers or hooks for both ports."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from typing import Any

from litestar.plugins import InitPlugin

from service.extensions import describe_exception, invalid_extension, load_extensions

ENTRY_POINT_GROUP = "waybill.litestar_plugins"


def load_plugins() -> list[InitPlugin]:
    """Create the plugins of the entry point group: each entry point is a class without arguments or a function.

    Returns:
        The plugins.

    Raises:
        ConfigErrors: entry points cannot be imported, raise an exception, or return something else than a plugin.
    """
    return load_extensions(ENTRY_POINT_GROUP, _read)


def _read(create: Any, entry: EntryPoint) -> Iterator[InitPlugin]:  # noqa: ANN401 - an object of another package
    fix = "name a subclass of litestar.plugins.InitPlugin, or a function that returns an instance"
    try:
        plugin = create() if callable(create) else None
    except Exception as error:
        reason = f"{entry.value} raised an exception ({describe_exception(error)})"
        raise invalid_extension(entry, reason, fix) from error
    if not isinstance(plugin, InitPlugin):
        raise invalid_extension(entry, f"{entry.value} is not a Litestar plugin", fix)
    yield plugin
