"""Rows of the table: both sides, their ratio, and whether the budget was kept."""

from collections.abc import Mapping, Sequence
from statistics import median

from msgspec import Struct

HEAD = "| what | Waybill | other side | ratio | budget | held |\n|---|---|---|---|---|---|"


class Line(Struct, frozen=True):
    """One row of the table. `detail` is printed below the table."""

    what: str
    ours: str
    other: str
    ratio: str
    budget: str
    held: bool
    detail: str = ""

    def markdown(self) -> str:
        """Return the row as Markdown."""
        held = "-" if self.budget == "-" else "yes" if self.held else "**no**"
        return f"| {self.what} | {self.ours} | {self.other} | {self.ratio} | {self.budget} | {held} |"


def middle(values: Sequence[float]) -> float:
    """Return the median."""
    return median(values)


def faster(what: str, sides: Mapping[str, Sequence[float]], rival: str, budget: float, detail: str = "") -> Line:
    """Compare rates per second: `waybill` should have `budget` times the rate of the rival. 0: no budget."""
    ours, theirs = middle(sides["waybill"]), middle(sides[rival])
    ratio, bound = ours / theirs, f">= {budget:g}" if budget else "-"
    return Line(what, f"{ours:,.0f}/s", f"{rival}: {theirs:,.0f}/s", f"{ratio:.2f}", bound, ratio >= budget, detail)


def quicker(what: str, sides: Mapping[str, float], rival: str, part: int, detail: str = "") -> Line:
    """Compare times in ms: `waybill` should take at most one `part`-th of the rival's time."""
    ours_ms, theirs_ms = sides["waybill"], sides[rival]
    ratio = theirs_ms / max(ours_ms, 0.001)
    ours, theirs = f"{ours_ms:.2f} ms", f"{rival}: {theirs_ms:.1f} ms"
    return Line(what, ours, theirs, f"1/{ratio:.0f}", f"<= 1/{part}", ratio >= part, detail)


def within(what: str, value: float, unit: str, budget: float, detail: str = "") -> Line:
    """Compare one value with its budget."""
    shown = f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
    return Line(what, f"{shown} {unit}", "-", "-", f"<= {budget:g} {unit}", value <= budget, detail)


def render(lines: Sequence[Line], heading: Sequence[str]) -> str:
    """Return the table with the heading above and the details below."""
    details = [f"- {line.what}: {line.detail}" for line in lines if line.detail]
    above = [f"- {text}" for text in heading]
    return "\n".join([*above, "", HEAD, *(line.markdown() for line in lines), "", *details, ""])
