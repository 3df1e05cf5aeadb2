"""The table a person reads, and when a row is good."""

from pathlib import Path

import pytest
from msgspec import structs

from service.dev.demo_output import DemoReport, DemoResult
from service.dev.demo_scenario import ExpectedOutcome, build_steps
from service.dev.workspace import make_workspace

ACTS = build_steps({"EXAMPLE_PACK_SECRET": "a", "EXAMPLE_FLOW_PASSWORD": "b"})


@pytest.mark.parametrize(
    ("fate", "text"),
    [
        (ExpectedOutcome("401 not_verified"), "401 not_verified"),
        (ExpectedOutcome("202 queued", "unmatched", 1), "202 → unmatched, no call"),
        (ExpectedOutcome("202 queued", "matched", 2, 3), "202 → matched, attempt 2, 3 calls"),
    ],
)
def test_a_fate_reads_as_one_line(fate: ExpectedOutcome, text: str) -> None:
    assert str(fate) == text


@pytest.mark.parametrize("change", [{"calls": 2}, {"attempts": 2}, {"outcome": "unmatched"}, {"answer": "503 x"}])
def test_a_row_that_differs_in_anything_is_not_good_and_the_table_says_so(
    change: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    row = DemoResult(ACTS[0], structs.replace(ACTS[0].expected, **change))
    DemoReport().table([row, DemoResult(ACTS[0], ACTS[0].expected)])
    out = capsys.readouterr().out
    assert not row.good
    assert out.count("NOT OK") == 1
    assert out.count(" ok") == 1
    assert f"expected: {row.act.expected}" in out
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 80


def test_each_act_is_about_a_record_of_its_own_but_for_the_deliveries_sent_again() -> None:
    again = {"the first delivery once more", "the same to an unknown source"}
    ids = [act.record_id for act in ACTS if act.title not in again]
    assert len(ids) == len(set(ids))
    assert sum(act.kills_worker for act in ACTS) == 1


def test_a_workspace_makes_up_its_secrets_anew_and_hands_them_over_by_environment(tmp_path: Path) -> None:
    first, second = make_workspace(tmp_path / "a"), make_workspace(tmp_path / "b")
    assert first.secrets["EXAMPLE_PACK_SECRET"] != second.secrets["EXAMPLE_PACK_SECRET"]
    environ = first.environ({"PATH": "/bin", "WAYBILL_PORT": "1", "WAYBILL_SHARD_URLS": "x"}, port="0")
    assert environ["WAYBILL_PORT"] == "0"
    assert environ["WAYBILL_CONFIG"] == str(tmp_path / "a" / "waybill.yaml")
    assert "WAYBILL_SHARD_URLS" not in environ
    assert environ["EXAMPLE_PACK_SECRET"] == first.secrets["EXAMPLE_PACK_SECRET"]
