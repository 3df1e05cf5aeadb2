"""Patterns for `matches`: a subset of regular expressions whose worst case is counted before it is ever run.

Python's engine backtracks, so a careless pattern can run for years on forty characters. A linear-time engine would be
one more native dependency; instead this reads the pattern itself, allows what rules need (text, classes, groups,
alternatives, repetition) and counts the ways it can match the longest text that is looked at. More ways than the bound,
or anything not understood (look-around, back references), is refused when the rulebook is loaded.
"""

import re
import warnings

from service.errors import ConfigError
from service.rules.limits import PATTERN_CHARS_MAX, PATTERN_STEPS_MAX, PATTERN_TEXT_CHARS_MAX

_QUANTIFIER = re.compile(r"[*+?]|\{(\d{1,3})(?:(,)(\d{1,3})?)?\}")
_CLASS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\\[])*\]")
_ESCAPE = re.compile(r"\\(?:[dDwWsSbB]|[^A-Za-z0-9])")
_GROUP = re.compile(r"\((?:\?:|\?P<[A-Za-z_]\w*>)?(?!\?)")
_PLAIN = re.compile(r"(?:\\([^A-Za-z0-9])|([^()\[\]\\*+?{}|.^$]))(?![*?]|\{0)")
"""A character that has to stand there."""
_WILD = 10**18


def compile_pattern(text: str, at: str) -> re.Pattern[str]:
    """Compile a pattern that is known to end soon.

    Raises:
        ConfigError: too long, not understood, or able to backtrack too far.
    """
    if len(text) > PATTERN_CHARS_MAX:
        raise ConfigError(at, f"the pattern is longer than {PATTERN_CHARS_MAX} characters", "shorten it")
    try:
        # What Python only warns of today will mean something else one day.
        with warnings.catch_warnings(action="error"):
            _count(text, at)
            return re.compile(text)
    except (re.error, FutureWarning, DeprecationWarning, OverflowError) as error:
        raise ConfigError(at, f"the pattern is not valid ({error})", "correct it") from None


def _count(text: str, at: str) -> None:
    reader = _Reader(text, at)
    ways = reader.alternatives(0)
    if ways * (len(text) + reader.settled * PATTERN_TEXT_CHARS_MAX) > PATTERN_STEPS_MAX:
        fix = "repeat single characters or [classes] instead of groups, and use fewer of * and +"
        raise ConfigError(at, "the pattern can backtrack too far", fix)


class _Reader:
    """Reads a pattern left to right; every method gives how many ways its part can match.

    A repetition ends in one way only where a character must follow that it cannot take itself, as in `[a-z]+@`. Such
    ones are counted in `settled`: they still cost a look back each, but multiply nothing.
    """

    def __init__(self, text: str, at: str) -> None:
        self.text = text
        self.at = at
        self.settled = 0
        self.position = text.startswith("(?i)") * 4

    def alternatives(self, depth: int) -> int:
        if depth > 10:
            raise self._refused("groups are nested too deeply")
        ways = self._sequence(depth)
        while self._take("|"):
            ways += self._sequence(depth)
        if depth == 0 and self.position < len(self.text):
            raise self._refused("a bracket is closed that was not opened")
        return ways

    def _sequence(self, depth: int) -> int:
        ways = 1
        while self.position < len(self.text) and self.text[self.position] not in "|)":
            start = self.position
            once = self._atom(depth)
            ways = min(ways * self._repeated(once, self.text[start : self.position]), _WILD)
        return ways

    def _atom(self, depth: int) -> int:
        if self._match(_CLASS) or self._match(_ESCAPE):
            return 1
        if self._match(_GROUP):
            ways = self.alternatives(depth + 1)
            if not self._take(")"):
                raise self._refused("a bracket is not closed")
            return ways
        if self.text[self.position] in "()[]\\*+?{":
            raise self._refused(f"{self.text[self.position : self.position + 3]!r} is not understood here")
        self.position += 1
        return 1

    def _repeated(self, ways: int, atom: str) -> int:
        found = self._match(_QUANTIFIER)
        if found is None:
            return ways
        if self._match(_QUANTIFIER) or self._take("+"):
            raise self._refused("a repetition is repeated")
        if not atom.startswith("(") and self._settles(atom):
            self.settled += 1
            return 1
        least, most = _range(found)
        return sum_of_powers(ways, least, most)

    def _settles(self, atom: str) -> bool:
        found = _PLAIN.match(self.text, self.position)
        if found is None:
            return False
        flags = re.IGNORECASE if self.text.startswith("(?i)") else re.NOFLAG
        return re.fullmatch(atom, found[1] or found[2], flags) is None

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.position)
        if found:
            self.position = found.end()
        return found

    def _take(self, character: str) -> bool:
        taken = self.text.startswith(character, self.position)
        self.position += taken
        return taken

    def _refused(self, reason: str) -> ConfigError:
        fix = "use text, ., [classes], \\d \\w \\s, groups, | and * + ? {m,n}"
        return ConfigError(self.at, f"in the pattern, at character {self.position + 1}, {reason}", fix)


def sum_of_powers(ways: int, least: int, most: int) -> int:
    """Ways to match something `least` to `most` times that can match in `ways` ways, up to a ceiling."""
    if ways == 1:
        return max(most - least + 1, 1)
    total = 0
    for times in range(least, most + 1):
        total += ways**times
        if total > _WILD:
            return _WILD
    return total


def _range(found: re.Match[str]) -> tuple[int, int]:
    if found[0] in "*+?":
        return (0, 1) if found[0] == "?" else (0, PATTERN_TEXT_CHARS_MAX)
    least = int(found[1])
    if found[2] is None:
        return least, least
    return least, int(found[3]) if found[3] is not None else PATTERN_TEXT_CHARS_MAX
