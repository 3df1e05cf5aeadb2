"""`waybill rules plan`, `apply --plan-file` and `rules status`: changes are shown before they are made."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec import structs

from service.cli.rules import rules
from service.management.dry_run import Difference
from service.management.rulebook_plan import count_match_changes
from service.settings import Settings

ONE = "- {id: one, type: purchase_order, sort: 2}\n"
TWO = "- {id: two, type: customer}\n"

Run = Callable[..., Result]


@pytest.fixture
def run(settings: Settings) -> Run:
    environ = {"WAYBILL_REDIS_URL": settings.redis_url, "USER": "ann"}
    return lambda *arguments: CliRunner(env=environ).invoke(rules, [*map(str, arguments)])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(ONE)
    return path


def test_a_plan_is_rejected_if_another_version_became_active(run: Run, file: Path, tmp_path: Path) -> None:
    assert run("apply", file).exit_code == 0
    file.write_text(ONE + TWO)
    out = tmp_path / "plan.json"
    planned = run("plan", file, "--last", "0", "--out", out)
    assert planned.exit_code == 0, planned.output
    (tmp_path / "other.yaml").write_text(TWO)
    assert run("apply", tmp_path / "other.yaml").exit_code == 0
    rejected = run("apply", "--plan-file", out)
    assert rejected.exit_code == 1
    assert "Plan the change again" in rejected.stderr
    assert "added two" not in run("show").stdout
    assert "id: one" not in run("show").stdout, "nothing was published"


def test_a_plan_file_applies_what_was_planned_whatever_the_files_have_now(run: Run, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "plan.json"
    first = run("plan", file, "--out", out)
    assert first.stdout.startswith("active none, planned ")
    version = first.stdout.split()[3]
    assert "added one" in first.stdout
    assert "over the last" not in first.stdout, "without active rules there is nothing to compare"
    file.write_text("- {id: other, type: customer}\n")
    applied = run("apply", "--plan-file", out)
    assert applied.stdout == f"{version} activated, 1 rule\n"
    again = json.loads(run("plan", file, "--last", "0", "-o", "json").stdout)
    assert (again["before"], again["events_evaluated"], again["matches"]) == (version, None, [])
    assert {change["change"] for change in again["rules"]} == {"added", "removed"}


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": 9, "before": "", "after": "", "rules": []}', "\xff"])
def test_a_file_that_is_no_plan_is_rejected(run: Run, tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    result = run("apply", "--plan-file", path)
    assert result.exit_code != 0
    assert "plan" in str(result.exception) + result.stderr
    assert run("show").exit_code == 2
    assert "either FILES or --plan-file" in run("apply", path, "--plan-file", path).stderr


def test_status_shows_the_drift_between_files_and_the_store(run: Run, file: Path) -> None:
    assert run("status", file).exit_code == 2
    assert run("apply", file, "--note", "start").exit_code == 0
    same = run("status", file)
    assert same.exit_code == 0
    assert same.stdout.endswith(" by ann: start\nThe files are published.\n")
    assert ": 1 rule of files, 0 of the admin API\n" in same.stdout
    file.write_text(ONE.replace("sort: 2", "sort: 3") + TWO)
    different = run("status", file)
    assert different.exit_code == 1
    assert "2 rules of the files differ" in different.stdout
    assert {"changed one", "  -sort: 2", "  +sort: 3", "added two"} <= set(different.stdout.splitlines())


def test_the_order_of_keys_is_no_drift(run: Run, file: Path) -> None:
    file.write_text('- {id: one, type: customer, actions: [{message: "{id}", do: log, id: say, level: info}]}\n')
    assert run("apply", file).exit_code == 0
    same = run("status", file)
    assert (same.exit_code, "The files are published." in same.stdout) == (0, True), same.stdout
    assert "with" not in run("export").stdout


def test_an_export_applied_again_changes_nothing(run: Run, file: Path, tmp_path: Path) -> None:
    file.write_text('- {id: one, type: purchase_order, name: "1e3", sources: ["no"]}\n' + TWO)
    version = run("apply", file).stdout.split()[0]
    exported = tmp_path / "exported.yaml"
    exported.write_text(run("export").stdout)
    assert run("apply", exported).stdout == f"{version} already active, 2 rules\n"


def test_matches_are_counted_by_rule_with_examples() -> None:
    one = Difference("e0", "a:purchase_order:1", "late", "matched", "unmatched", (), ())
    gained = [structs.replace(one, event_id=f"g{number}", live=None, candidate="matched") for number in range(5)]
    other = structs.replace(one, rule_id="early", live="unmatched", candidate="unknown")
    early, late = count_match_changes([one, *gained, other])
    assert (early.gained, early.lost, early.changed) == (0, 0, 1)
    assert (late.gained, late.lost, late.changed) == (5, 1, 0)
    assert late.examples == [
        *(f"gained: g{number} a:purchase_order:1, not evaluated -> matched" for number in range(3)),
        "lost: e0 a:purchase_order:1, matched -> unmatched",
    ]
