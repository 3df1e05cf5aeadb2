"""Rows of the table: both sides, their ratio, their CPU time per event, and whether the budget was kept."""

from collections.abc import Mapping, Sequence
from statistics import median

from msgspec import Struct

HEAD = (
    "| what | Waybill | other side | ratio | CPU per event | budget | held |\n"
    "|---|---|---|---|---|---|---|"
)  # fmt: skip


class Sample(Struct, frozen=True):
    """One measurement of a side: events per second, and CPU time per event."""

    rate: float
    cpu_us: float


class Line(Struct, frozen=True):
    """One row of the table. `detail` is printed below the table.

    `rival` is the name of the other side, or empty. `score` is the ratio to it, or the inverse of our value without it:
    more is better. `cpu_us` and `rival_cpu_us` are CPU times per event, 0 if not measured.
    """

    what: str
    ours: str
    other: str
    ratio: str
    budget: str
    held: bool
    detail: str = ""
    rival: str = ""
    score: float = 0.0
    cpu_us: float = 0.0
    rival_cpu_us: float = 0.0

    def markdown(self) -> str:
        """Return the row as Markdown."""
        held = "-" if self.budget == "-" else "yes" if self.held else "**no**"
        return f"| {self.what} | {self.ours} | {self.other} | {self.ratio} | {self.cpu()} | {self.budget} | {held} |"

    def cpu(self) -> str:
        """Return the CPU times of both sides in microseconds."""
        return " / ".join(f"{value:,.0f} us" for value in (self.cpu_us, self.rival_cpu_us) if value) or "-"


def middle(values: Sequence[float]) -> float:
    """Return the median."""
    return median(values)


def faster(what: str, sides: Mapping[str, Sequence[Sample]], rival: str, budget: float, detail: str = "") -> Line:
    """Compare rates per second: `waybill` should have `budget` times the rate of the rival. 0: no budget."""
    ours, theirs = (middle([sample.rate for sample in sides[side]]) for side in ("waybill", rival))
    our_cpu, their_cpu = (middle([sample.cpu_us for sample in sides[side]]) for side in ("waybill", rival))
    ratio, bound = ours / theirs, f">= {budget:g}" if budget else "-"
    return Line(
        what, f"{ours:,.0f}/s", f"{rival}: {theirs:,.0f}/s", f"{ratio:.2f}", bound, ratio >= budget, detail, rival,
        ratio, our_cpu, their_cpu,
    )  # fmt: skip


def quicker(what: str, sides: Mapping[str, float], rival: str, part: int, detail: str = "") -> Line:
    """Compare times in ms: `waybill` should take at most one `part`-th of the rival's time."""
    ours_ms, theirs_ms = sides["waybill"], sides[rival]
    ratio = theirs_ms / max(ours_ms, 0.001)
    ours, theirs = f"{ours_ms:.2f} ms", f"{rival}: {theirs_ms:.1f} ms"
    return Line(what, ours, theirs, f"1/{ratio:.0f}", f"<= 1/{part}", ratio >= part, detail, rival, ratio)


def within(what: str, value: float, unit: str, budget: float, detail: str = "") -> Line:
    """Compare one value with its budget."""
    shown = f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
    score = 1 / max(value, 0.001)
    return Line(what, f"{shown} {unit}", "-", "-", f"<= {budget:g} {unit}", value <= budget, detail, score=score)


def dearer(what: str, ours_us: float, plain: str, plain_us: float) -> Line:
    """Compare the CPU time of a delivery or an event that has a feature with one that has none. There is no budget."""
    ours, theirs = f"{ours_us:,.1f} us", f"{plain}: {plain_us:,.1f} us"
    ratio = f"{ours_us / plain_us:.2f} times"
    return Line(
        what, ours, theirs, ratio, budget="-", held=True, rival=plain, score=plain_us / ours_us, cpu_us=ours_us,
        rival_cpu_us=plain_us,
    )  # fmt: skip


def render(lines: Sequence[Line], heading: Sequence[str]) -> str:
    """Return the table with the heading above and the details below."""
    details = [f"- {line.what}: {line.detail}" for line in lines if line.detail]
    above = [f"- {text}" for text in heading]
    return "\n".join([*above, "", HEAD, *(line.markdown() for line in lines), "", *details, ""])
