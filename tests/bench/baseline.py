"""Comparison of a run with a saved one by ratios. Where a rival ran too, the speed of the machine cancels out."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.bench.table import Line

WORSE = 0.9
"""A row with less than this part of its score in the baseline is marked."""

HEAD = (
    "| what | other side | ratio | in the baseline | change | CPU ratio | in the baseline | |\n"
    "|---|---|---|---|---|---|---|---|"
)  # fmt: skip


def save(path: Path, lines: Sequence[Line]) -> None:
    """Save the rows of a run."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(lines), indent=1))


def load(path: Path) -> Sequence[Line]:
    """Load the rows of an earlier run.

    Raises:
        OSError: there is no such file.
        msgspec.ValidationError: the file is of another version.
    """
    return msgspec.json.decode(path.read_bytes(), type=list[Line])


def compare(lines: Sequence[Line], baseline: Sequence[Line]) -> str:
    """Return a table of the rows that both runs have. Rows that are more than a tenth worse are marked."""
    before = {(line.what, line.rival): line for line in baseline}
    rows = [_row(line, before[line.what, line.rival]) for line in lines if (line.what, line.rival) in before]
    missing = [f"{line.what} {line.rival}".strip() for line in lines if (line.what, line.rival) not in before]
    notes = [f"- not in the baseline: {', '.join(missing)}"] if missing else []
    return "\n".join([HEAD, *rows, "", *notes, ""])


def _row(now: Line, before: Line) -> str:
    change = now.score / before.score
    ratios = (now.ratio, before.ratio) if now.rival else (now.ours, before.ours)
    cells = [now.what, now.rival or "-", *ratios, f"{change:.2f}", _cpu(now), _cpu(before)]
    return f"| {' | '.join(cells)} | {'**worse**' if change < WORSE else ''} |"


def _cpu(line: Line) -> str:
    return f"{line.cpu_us / line.rival_cpu_us:.2f}" if line.cpu_us and line.rival_cpu_us else "-"
