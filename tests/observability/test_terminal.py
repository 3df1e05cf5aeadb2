"""lnav parses every line with the format file, and queries them."""

import csv
import os
import re
import shutil
import subprocess
from collections import Counter
from io import StringIO
from pathlib import Path

import pytest

from tests.observability.run import Run

pytestmark = [pytest.mark.slow, pytest.mark.system_tool("lnav", package="lnav")]

DOCS = Path(__file__).parents[2] / "docs"
FORMAT = DOCS / "waybill.lnav.json"


def ask(query: str, lines: Path, home: Path) -> list[dict[str, str]]:
    """Run an SQL query in lnav without a terminal; return its rows."""
    formats = home / ".lnav" / "formats" / "installed"
    formats.mkdir(parents=True, exist_ok=True)
    shutil.copy(FORMAT, formats / "waybill.json")
    command = ["lnav", "-n", "-c", f";{query}", "-c", ":write-csv-to -", lines]
    environ = {**os.environ, "HOME": str(home), "TERM": "dumb"}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=True, timeout=60)
    return list(csv.DictReader(StringIO(done.stdout)))


def test_lnav_parses_every_line_with_its_fields(run: Run, tmp_path: Path) -> None:
    lines = tmp_path / "all.jsonl"
    ours = [line for output in run.outputs.values() for line in output.splitlines()]
    lines.write_bytes(b"\n".join(sorted(ours)) + b"\n")
    (row,) = ask("select count(*) as n from waybill_log", lines, tmp_path)
    assert int(row["n"]) == len(ours)
    (documented,) = re.findall(r'then ";(select [^"]+)"', (DOCS / "how-to" / "operations.md").read_text())
    outcomes = {row["outcome"]: int(row["count(*)"]) for row in ask(documented, lines, tmp_path)}
    matched = [line for line in run.lines if line.get("outcome") == "matched"]
    assert outcomes["matched"] == len(matched) > 0
    rows = ask(
        "select source_name, delivery_status, count(*) as n from waybill_log "
        "where message = 'delivery.received' group by 1, 2",
        lines,
        tmp_path,
    )
    counted = Counter((line["source_name"], line["delivery_status"]) for line in run.of("delivery.received"))
    assert {(row["source_name"], row["delivery_status"]): int(row["n"]) for row in rows} == counted


@pytest.mark.long(seconds=60)
def test_lnav_recognizes_levels(run: Run, tmp_path: Path) -> None:
    lines = tmp_path / "all.jsonl"
    lines.write_bytes(b"".join(run.outputs.values()))
    (row,) = ask("select count(*) as n from waybill_log where log_level = 'error'", lines, tmp_path)
    assert int(row["n"]) == sum(line["level"] == "error" for line in run.lines)
