"""Extensions: objects that other packages register in entry points, such as actions or log processors."""

import importlib.metadata
import traceback
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import Any, TypeVar

from service.errors import ConfigError
from service.mistakes import Mistakes

OWN_PACKAGE = "waybill"
LOADERS_GROUP = "waybill.loaders"
"""Entry point group of Waybill's own loaders. Each has the name of the group that it loads."""

ItemT = TypeVar("ItemT")


@cache  # reading the metadata of all installed packages takes 10 ms
def installed_entry_points() -> EntryPoints:
    """Return the entry points of all installed packages."""
    found: Any = entry_points()  # Python 3.11 returns another class with the same method `select`
    return found


def load_extensions(group: str, read: Callable[[Any, EntryPoint], Iterable[ItemT]]) -> list[ItemT]:
    """Import the objects of an entry point group, Waybill's own first, and return the items that `read` yields.

    Returns:
        The items.

    Raises:
        ConfigErrors: all mistakes: objects that cannot be imported, and those that `read` raises.
    """
    items: list[ItemT] = []
    mistakes = Mistakes()
    for entry in _entries(group):
        with mistakes.collect():
            items.extend(read(import_extension(entry), entry))
    mistakes.raise_all()
    return items


def import_extension(entry: EntryPoint) -> Any:  # noqa: ANN401 - the caller checks the type
    """Import the object of an entry point.

    Returns:
        The object.

    Raises:
        ConfigError: the module raises an exception, or does not have the object.
        invalid_extension: The same error.
    """
    try:
        return entry.load()
    except Exception as error:
        reason = f"{entry.value} cannot be imported ({describe_exception(error)})"
        raise invalid_extension(entry, reason, f"correct or uninstall the package {_package(entry)}") from error


def invalid_extension(entry: EntryPoint, reason: str, fix: str) -> ConfigError:
    """Build the error of an entry point."""
    return ConfigError(f"entry point {entry.group}.{entry.name}", reason, fix)


def describe_exception(error: Exception) -> str:
    """Return the type of an exception of other code, its message, and the line that raised it."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    frame = traceback.extract_tb(error.__traceback__)[-1]
    if frame.filename.startswith("<") or frame.filename == importlib.metadata.__file__:
        return text
    return f"{text}; {frame.filename}, line {frame.lineno}"


def describe_extensions() -> Sequence[str]:
    """Return one line for each entry point of other packages, in the groups that have a loader."""
    groups = sorted(installed_entry_points().select(group=LOADERS_GROUP).names)
    return [
        f"extension {group}  {entry.name}  {entry.value}, package {_package(entry)}"
        for group in groups
        for entry in _entries(group)
        if _package(entry) != OWN_PACKAGE
    ]


def find_extension_mistakes() -> Sequence[ConfigError]:
    """Load the extensions of all groups, and return the mistakes. Only the loaders of used groups are imported."""
    mistakes = Mistakes()
    for loader in _entries(LOADERS_GROUP):
        if _entries(loader.name):
            with mistakes.collect():
                loader.load()()
    return mistakes.found


def _entries(group: str) -> Sequence[EntryPoint]:
    found = installed_entry_points().select(group=group)
    return sorted(found, key=lambda entry: (_package(entry) != OWN_PACKAGE, entry.name))


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else ""
