"""The page of the benchmark explains every row, and a comparison with a baseline marks what became worse."""

import re
from pathlib import Path

from tests.bench.__main__ import ROWS
from tests.bench.baseline import compare, load, save
from tests.bench.table import Sample, dearer, faster, within

PAGE = (Path(__file__).parents[2] / "docs/explanation/benchmarks.md").read_text()


def test_the_page_lists_every_row() -> None:
    sentence = PAGE.split("Select rows by name:")[1].split(".\n")[0]
    assert re.findall("`([a-z]+)`", sentence) == list(ROWS)


def test_the_page_explains_every_row() -> None:
    table = PAGE.split("## Rows\n")[1].split("\n## ")[0]
    explained = dict.fromkeys(re.findall(r"^\| ([a-z]+) \| \S", table, re.MULTILINE))
    assert list(explained) == ["row", *ROWS]


def test_a_comparison_marks_rows_that_became_worse(tmp_path: Path) -> None:
    def lines(rate: float, value: float, us: float) -> list[str]:
        sides = {"waybill": [Sample(rate, 10.0)], "arq": [Sample(100.0, 40.0)]}
        saved = [
            faster("events", sides, "arq", 2),
            within("memory", value, "B", 700),
            dearer("gzip", us, "plain", 50.0),
        ]
        if not path.exists():
            save(path, saved)
        return compare(saved, load(path)).splitlines()[2:5]

    path = tmp_path / "baseline.json"
    assert not any("worse" in line for line in lines(400.0, 500.0, 60.0))
    assert ["worse" in line for line in lines(399.0, 501.0, 61.0)] == [False, False, False]
    assert ["worse" in line for line in lines(350.0, 501.0, 70.0)] == [True, False, True]
    assert ["worse" in line for line in lines(500.0, 600.0, 60.0)] == [False, True, False]
