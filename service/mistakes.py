"""Collection of mistakes, so that one check reports all of them."""

from collections.abc import Generator
from contextlib import contextmanager

from service.errors import ConfigError, ConfigErrors

MISTAKES_MAX = 100
"""Mistakes that are collected. A file with more is probably no rule file at all."""


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

    def raise_all(self) -> None:
        """Raise the mistakes, if there are any.

        Raises:
            ConfigErrors: all mistakes.
        """
        if self.found:
            raise ConfigErrors(self.found)
