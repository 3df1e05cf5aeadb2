"""Regular expressions for `matches`, by RE2, which runs in linear time.

Python's engine backtracks: with a bad pattern, a text of forty characters could block a worker for years. RE2 supports
neither look-around nor back-references and rejects them when a rulebook is loaded. Its syntax is documented at
https://github.com/google/re2/wiki/Syntax.
"""

import re
from collections.abc import Callable
from typing import Any, Protocol, cast

import re2  # pyright: ignore[reportMissingTypeStubs]  # it comes without types

from service.errors import ConfigError
from service.rules.limits import PATTERN_BYTES_MAX, PATTERN_CHARS_MAX, PATTERN_INSTRUCTIONS_MAX, PATTERN_TEXT_CHARS_MAX


class Pattern(Protocol):
    """The used part of a compiled RE2 pattern."""

    @property
    def pattern(self) -> str:
        """The text of the pattern."""
        ...

    @property
    def programsize(self) -> int:
        """The number of instructions of the compiled pattern."""
        ...

    def fullmatch(self, text: str, /) -> object | None:
        """Match the whole text. Return None if it does not match."""
        ...


_re2 = cast("Any", re2)
_compile = cast("Callable[[str, object], Pattern]", _re2.compile)
_options = _re2.Options()
_options.max_mem = PATTERN_BYTES_MAX
_options.log_errors = False  # RE2 would write to stderr, between the log lines

_FROM_NOTHING = re.compile(r"(?<!\\)\{,\d*\}")


def compile_pattern(text: str, at: str) -> Pattern:
    """Compile a pattern.

    Raises:
        ConfigError: the pattern is too long, too large after compilation, or not valid.
    """
    if len(text) > PATTERN_CHARS_MAX:
        raise ConfigError(at, f"the pattern is longer than {PATTERN_CHARS_MAX} characters", "shorten it")
    if found := _FROM_NOTHING.search(text):
        raise ConfigError(at, f"RE2 reads {found[0]} as text", f"write {found[0].replace('{,', '{0,')}")
    try:
        pattern = _compile(text, _options)
    except UnicodeEncodeError:
        raise ConfigError(at, "the pattern contains a lone surrogate", "write the whole character") from None
    except _re2.error as error:
        reason = str(cast("bytes", error.args[0]), "utf-8", "replace")
        fix = "use text, ., [classes], \\d \\w \\s, groups, | and * + ? {m,n}; RE2 has no look-around"
        raise ConfigError(at, f"the pattern is not valid ({reason})", fix) from None
    if (size := pattern.programsize) > PATTERN_INSTRUCTIONS_MAX:
        reason = f"the pattern has {size:,} instructions, at most {PATTERN_INSTRUCTIONS_MAX:,} are allowed"
        raise ConfigError(at, reason, "use fewer repetitions, in particular {m,n}")
    return pattern


def full_match(pattern: Pattern, text: str) -> bool | None:
    """Return whether the whole text matches. Return None if the text is too long or contains a lone surrogate."""
    if len(text) > PATTERN_TEXT_CHARS_MAX:
        return None
    try:
        return pattern.fullmatch(text) is not None
    except UnicodeEncodeError:
        return None
