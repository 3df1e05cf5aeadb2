"""Collection of mistakes, so that one check reports all of them."""

from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager

from service.errors import ConfigError, ConfigErrors

MISTAKES_MAX = 1_000
"""Mistakes that are collected and listed."""
MISTAKES_LOGGED_MAX = 5


def format_for_log(mistakes: Sequence[ConfigError]) -> str:
    """Return the first mistakes in one line, and the number of the others."""
    shown = "; ".join(str(mistake) for mistake in mistakes[:MISTAKES_LOGGED_MAX])
    more = len(mistakes) - MISTAKES_LOGGED_MAX
    return f"{shown}; and {more} more" if more > 0 else shown


class Mistakes:
    """Mistakes found so far."""

    def __init__(self) -> None:
        self.found: list[ConfigError] = []

    @property
    def is_full(self) -> bool:
        """Whether the search for mistakes may stop."""
        return len(self.found) >= MISTAKES_MAX

    def add(self, error: ConfigError) -> None:
        """Add the mistakes of an error, up to `MISTAKES_MAX` in total."""
        self.found.extend(error.mistakes[: MISTAKES_MAX - len(self.found)])

    @contextmanager
    def collect(self) -> Generator[None]:
        """Context manager: add the ConfigError of the block instead of raising it."""
        try:
            yield
        except ConfigError as error:
            self.add(error)

    def unique(self) -> ConfigErrors:
        """Return the mistakes as one error, each once. There must be at least one."""
        return ConfigErrors(list({str(each): each for each in self.found}.values()))

    def raise_all(self) -> None:
        """Raise the mistakes, if there are any.

        Raises:
            ConfigErrors: all mistakes.
        """
        if self.found:
            raise ConfigErrors(self.found)


def is_consequence(mistake: ConfigError, of: Collection[str]) -> bool:
    """Return whether a mistake results from others, because their keys were left out. `of` are the paths of these."""
    path, parents = mistake.path, {_parent(each) for each in of}
    if path in of or path in parents or _parent(path) in of:
        return True
    return mistake.reason == "is missing" and _parent(path) in parents


def _parent(path: str) -> str:
    return path[: max(path.rfind("."), path.rfind("["))]
