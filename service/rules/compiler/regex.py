"""Patterns for `matches`, by RE2, whose time grows with the text alone.

Python's own engine backtracks: a careless pattern can run for years on forty characters, and a text that a customer
wrote would hold up a worker. RE2 has no look-around and no back references, and says so when a rulebook is loaded. Its
language: https://github.com/google/re2/wiki/Syntax.
"""

import re
from collections.abc import Callable
from typing import Any, Protocol, cast

import re2  # pyright: ignore[reportMissingTypeStubs]  # it comes without types

from service.errors import ConfigError
from service.rules.limits import PATTERN_BYTES_MAX, PATTERN_CHARS_MAX, PATTERN_INSTRUCTIONS_MAX, PATTERN_TEXT_CHARS_MAX


class Pattern(Protocol):
    """What is used of a compiled pattern."""

    @property
    def pattern(self) -> str:
        """Give the text it was compiled from."""
        ...

    @property
    def programsize(self) -> int:
        """Give its length in instructions."""
        ...

    def fullmatch(self, text: str, /) -> object | None:
        """Hold a whole text against it: None where it does not match."""
        ...


_re2 = cast("Any", re2)
_compile = cast("Callable[[str, object], Pattern]", _re2.compile)
_options = _re2.Options()
_options.max_mem = PATTERN_BYTES_MAX
_options.log_errors = False  # it would write to stderr, beside our lines

_FROM_NOTHING = re.compile(r"(?<!\\)\{,\d*\}")


def compile_pattern(text: str, at: str) -> Pattern:
    """Compile a pattern.

    Raises:
        ConfigError: too long, too large once compiled, or not understood.
    """
    if len(text) > PATTERN_CHARS_MAX:
        raise ConfigError(at, f"the pattern is longer than {PATTERN_CHARS_MAX} characters", "shorten it")
    if found := _FROM_NOTHING.search(text):
        raise ConfigError(at, f"RE2 takes {found[0]} for text", f"write {found[0].replace('{,', '{0,')}")
    try:
        pattern = _compile(text, _options)
    except UnicodeEncodeError:
        raise ConfigError(at, "the pattern holds half a character", "write the whole character") from None
    except _re2.error as error:
        reason = str(cast("bytes", error.args[0]), "utf-8", "replace")
        fix = "use text, ., [classes], \\d \\w \\s, groups, | and * + ? {m,n}; RE2 knows no look-around"
        raise ConfigError(at, f"the pattern is not valid ({reason})", fix) from None
    if (size := pattern.programsize) > PATTERN_INSTRUCTIONS_MAX:
        fix = "repeat less often, with {m,n} above all"
        raise ConfigError(at, f"the pattern takes {size:,} instructions; {PATTERN_INSTRUCTIONS_MAX:,} may be", fix)
    return pattern


def full_match(pattern: Pattern, text: str) -> bool | None:
    """Whether a whole text is as the pattern says: None where it is too long, or half a character stands in it."""
    if len(text) > PATTERN_TEXT_CHARS_MAX:
        return None
    try:
        return pattern.fullmatch(text) is not None
    except UnicodeEncodeError:
        return None
