"""Rows as they are printed and written: both sides, their ratio, and whether the budget was held."""

from collections.abc import Mapping, Sequence
from statistics import median

from msgspec import Struct

HEAD = "| what | Waybill | other side | ratio | budget | held |\n|---|---|---|---|---|---|"


class Line(Struct, frozen=True):
    """One line of the table; `detail` stands below it."""

    what: str
    ours: str
    other: str
    ratio: str
    budget: str
    held: bool
    detail: str = ""

    def markdown(self) -> str:
        """The line as Markdown."""
        held = "-" if self.budget == "-" else "yes" if self.held else "**no**"
        return f"| {self.what} | {self.ours} | {self.other} | {self.ratio} | {self.budget} | {held} |"


def middle(values: Sequence[float]) -> float:
    """The median."""
    return median(values)


def faster(what: str, sides: Mapping[str, Sequence[float]], rival: str, budget: float, detail: str = "") -> Line:
    """Compare rates (per second): ours, under `waybill`, should be `budget` times the rival's (0: no budget)."""
    ours, theirs = middle(sides["waybill"]), middle(sides[rival])
    ratio, bound = ours / theirs, f">= {budget:g}" if budget else "-"
    return Line(what, f"{ours:,.0f}/s", f"{rival}: {theirs:,.0f}/s", f"{ratio:.2f}", bound, ratio >= budget, detail)


def quicker(what: str, sides: Mapping[str, float], rival: str, part: int, detail: str = "") -> Line:
    """Compare times in ms: ours, under `waybill`, should be at most a `part`-th of the rival's."""
    ours_ms, theirs_ms = sides["waybill"], sides[rival]
    ratio = theirs_ms / max(ours_ms, 0.001)
    ours, theirs = f"{ours_ms:.2f} ms", f"{rival}: {theirs_ms:.1f} ms"
    return Line(what, ours, theirs, f"1/{ratio:.0f}", f"<= 1/{part}", ratio >= part, detail)


def within(what: str, value: float, unit: str, budget: float, detail: str = "") -> Line:
    """Hold one figure to its budget."""
    shown = f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
    return Line(what, f"{shown} {unit}", "-", "-", f"<= {budget:g} {unit}", value <= budget, detail)


def render(lines: Sequence[Line], heading: Sequence[str]) -> str:
    """The whole table with what it was taken on above and the details below."""
    details = [f"- {line.what}: {line.detail}" for line in lines if line.detail]
    above = [f"- {text}" for text in heading]
    return "\n".join([*above, "", HEAD, *(line.markdown() for line in lines), "", *details, ""])
