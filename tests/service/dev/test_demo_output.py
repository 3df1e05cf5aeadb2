"""Table of the demonstration, and the comparison with the expected outcome."""

from pathlib import Path

import pytest
from msgspec import structs

from service.dev.demo_output import DemoReport, DemoResult
from service.dev.demo_scenario import DemoOutcome, build_steps
from service.dev.workspace import make_workspace

STEPS = build_steps({"EXAMPLE_PACK_SECRET": "a", "EXAMPLE_FLOW_PASSWORD": "b"})


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (DemoOutcome("401 not_verified"), "401 not_verified"),
        (DemoOutcome("202 queued", "unmatched", 1), "202 → unmatched, no call"),
        (DemoOutcome("202 queued", "matched", 2, 3), "202 → matched, attempt 2, 3 calls"),
    ],
)
def test_an_outcome_is_formatted_in_one_line(outcome: DemoOutcome, text: str) -> None:
    assert str(outcome) == text


@pytest.mark.parametrize("change", [{"calls": 2}, {"attempts": 2}, {"outcome": "unmatched"}, {"answer": "503 x"}])
def test_a_different_outcome_is_not_ok_and_shows_the_expected_one(
    change: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    row = DemoResult(STEPS[0], structs.replace(STEPS[0].expected, **change))
    DemoReport().table([row, DemoResult(STEPS[0], STEPS[0].expected)])
    out = capsys.readouterr().out
    assert not row.passed
    assert out.count("NOT OK") == 1
    assert out.count(" ok") == 1
    assert f"expected: {row.step.expected}" in out
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 80


def test_each_step_has_its_own_record_except_for_redeliveries() -> None:
    repeated = {"redelivery of the first delivery", "delivery to an unknown source"}
    ids = [step.record_id for step in STEPS if step.title not in repeated]
    assert len(ids) == len(set(ids))
    assert sum(step.kills_worker for step in STEPS) == 1


def test_a_workspace_generates_secrets_and_passes_them_in_the_environment(tmp_path: Path) -> None:
    first, second = make_workspace(tmp_path / "a"), make_workspace(tmp_path / "b")
    assert first.secrets["EXAMPLE_PACK_SECRET"] != second.secrets["EXAMPLE_PACK_SECRET"]
    environ = first.environ({"PATH": "/bin", "WAYBILL_PORT": "1", "WAYBILL_SHARDS": "2"}, port="0")
    assert environ["WAYBILL_PORT"] == "0"
    assert environ["WAYBILL_CONFIG"] == str(tmp_path / "a" / "waybill.yaml")
    assert "WAYBILL_SHARDS" not in environ
    assert environ["EXAMPLE_PACK_SECRET"] == first.secrets["EXAMPLE_PACK_SECRET"]
