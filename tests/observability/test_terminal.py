"""For people with only a terminal: lnav reads every line by the format file, and answers questions about them."""

import csv
import os
import shutil
import subprocess
from collections import Counter
from io import StringIO
from pathlib import Path

import pytest

from tests.observability.run import Run

pytestmark = pytest.mark.system_tool("lnav", package="lnav")

FORMAT = Path(__file__).parents[2] / "docs" / "waybill.lnav.json"


def ask(question: str, lines: Path, home: Path) -> list[dict[str, str]]:
    """Run lnav without a terminal and give the rows of one SQL question."""
    formats = home / ".lnav" / "formats" / "installed"
    formats.mkdir(parents=True, exist_ok=True)
    shutil.copy(FORMAT, formats / "waybill.json")
    command = ["lnav", "-n", "-c", f";{question}", "-c", ":write-csv-to -", lines]
    environ = {**os.environ, "HOME": str(home), "TERM": "dumb"}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=True, timeout=60)
    return list(csv.DictReader(StringIO(done.stdout)))


def test_lnav_reads_every_line_and_counts_as_we_do(run: Run, tmp_path: Path) -> None:
    lines = tmp_path / "all.jsonl"
    ours = [line for output in run.outputs.values() for line in output.splitlines()]
    lines.write_bytes(b"\n".join(sorted(ours)) + b"\n")
    (row,) = ask("select count(*) as n from waybill_log", lines, tmp_path)
    assert int(row["n"]) == len(ours)
    rows = ask(
        "select source_name, delivery_status, count(*) as n from waybill_log "
        "where message = 'delivery.received' group by 1, 2",
        lines,
        tmp_path,
    )
    counted = Counter((line["source_name"], line["delivery_status"]) for line in run.of("delivery.received"))
    assert {(row["source_name"], row["delivery_status"]): int(row["n"]) for row in rows} == counted


def test_levels_colour_lines_as_they_should(run: Run, tmp_path: Path) -> None:
    lines = tmp_path / "all.jsonl"
    lines.write_bytes(b"".join(run.outputs.values()))
    (row,) = ask("select count(*) as n from waybill_log where log_level = 'error'", lines, tmp_path)
    assert int(row["n"]) == sum(line["level"] == "error" for line in run.lines)
