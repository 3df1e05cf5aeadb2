"""Tables on a terminal: no boxes, headings in capitals, colours by state, and cells shortened to the width. Pure."""

import unicodedata
from collections.abc import Sequence

GAP = "  "
CELL_CHARACTERS_MIN = 10
"""A cell is not shortened below this width. Lines that are still too long wrap."""

WHOLE_COLUMNS = frozenset({"age", "id", "name"})
"""Columns that are never shortened, since their values are arguments of other commands."""

_COLOURS = {
    "green": ("matched", "done", "ok", "closed", "verified", "released", "replayed", "discarded", "enabled", "alive"),
    "red": ("dead_lettered", "dead", "failed", "rejected", "error", "open", "lost"),
    "yellow": ("queued", "decided", "unknown", "paused", "warning", "deferred", "outcome_unknown", "record_missing"),
    "bright_black": ("unmatched", "unchanged", "ignored", "stale", "resolved", "expired", "disabled", "skipped"),
}
COLOURS = {value: colour for colour, values in _COLOURS.items() for value in values}
COLOURED_COLUMNS = frozenset({"outcome", "state", "result", "circuit", "enabled"})


def table_lines(names: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> list[list[str]]:
    """Return the heading and the rows as padded cells. `width` is that of the terminal; None shortens nothing."""
    cells = [[name.upper() for name in names], *rows]
    widths = [max(map(cell_width, column)) for column in zip(*cells, strict=True)]
    if width is not None:
        widths = _shrink(names, widths, width - len(GAP) * (len(names) - 1))
    last = len(names) - 1
    return [
        [_pad(shorten(cell, widths[at]), widths[at] if at < last else 0) for at, cell in enumerate(row)]
        for row in cells
    ]


def colour_of(name: str, cell: str) -> str | None:
    """Return the colour of a cell, None without one."""
    return COLOURS.get(cell.strip()) if name in COLOURED_COLUMNS else None


def cell_width(text: str) -> int:
    """Return the width of a text on a terminal, in columns."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(each) else 2 if _is_wide(each) else 1 for each in text)


def shorten(text: str, width: int) -> str:
    """Shorten a text in its middle: the end of a record names it."""
    if cell_width(text) <= width:
        return text
    head, tail = "", ""
    for each in text:
        if cell_width(head + each) > (width - 1) // 3:
            break
        head += each
    for each in reversed(text):
        if cell_width(head + each + tail) > width - 1:
            break
        tail = each + tail
    return f"{head}…{tail}"


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in {"W", "F"}


def _pad(text: str, width: int) -> str:
    return text + " " * max(width - cell_width(text), 0)


def _shrink(names: Sequence[str], widths: Sequence[int], width: int) -> list[int]:
    """Shorten the widest columns, one character after the other, until the table fits."""
    found = list(widths)
    while sum(found) > width:
        shrinkable = [
            at for at, name in enumerate(names) if name not in WHOLE_COLUMNS and found[at] > CELL_CHARACTERS_MIN
        ]
        if not shrinkable:
            break
        found[max(shrinkable, key=lambda at: found[at])] -= 1
    return found
