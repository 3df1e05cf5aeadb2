"""Runs the tutorials of the first event, rule and console literally in two terminals, and then changes waybill.yaml."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.docs.page_steps import steps_of
from tests.test_readme_quickstart import ID, SECONDS_MAX, first_terminal, run_until_same, with_ids

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.timeout(900)]

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "first-event.md"
ACTIVATE = ". ../.venv/bin/activate"
VARIABLES = "set -a; . ./.env; set +a"


def commands() -> list[tuple[str, str]]:
    """Return each command of the page with its shown output."""
    blocks = "".join(re.findall(r"^```console\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL))
    return re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", blocks, re.MULTILINE)


def wait_for_output(path: Path, text: str) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while text not in path.read_text():
        assert time.monotonic() < deadline, path.read_text()
        time.sleep(0.1)


@pytest.mark.long(seconds=35)
def test_the_tutorial_runs_and_changes_of_files_are_reloaded(tmp_path: Path, free_port: int) -> None:
    (tmp_path / ".venv").symlink_to(sys.prefix)
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    listed = commands()
    position = next(at for at, (command, _) in enumerate(listed) if command == "waybill dev")
    written = "\n".join(command for command, _ in listed[:position])
    script = f". .venv/bin/activate\nset -e\n{written}".replace(
        " --no-start", f" --no-start --sandbox-port {free_port}"
    )
    done = subprocess.run(
        ["/bin/sh", "-c", script], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shop = tmp_path / "shop"
    ids: dict[str, str] = {}
    dev = f"{ACTIVATE}\n{VARIABLES}\nexec waybill dev --port 0 --admin-port 0 --sandbox-port {free_port}"
    with first_terminal(dev, shop, environ):
        for command, shown in listed[position + 1 :]:
            actual = run_until_same(f"{ACTIVATE}\n{with_ids(command, ids)}", shown, shop, environ)
            ids |= dict(zip(ID.findall(shown), ID.findall(actual), strict=False))
            if command.startswith("sed"):
                wait_for_output(shop / "out", "Rules published.")
                time.sleep(1.5)  # the worker checks for a new rulebook once a second; the next event needs the new one
        wait_for_output(shop / "out", "short-receipt: po-1: 4 missing")
        wait_for_output(shop / "out", "short-receipt: po-1: 4 units missing")
        write_first_rule(shop, environ)
        check_reload(shop)


def write_first_rule(shop: Path, environ: dict[str, str]) -> None:
    """Run the tutorials that continue in the same two terminals."""
    for step in (*steps_of("tutorials/first-rule.md"), *steps_of("tutorials/console.md")):
        if step.file:
            (shop / step.file).write_text(step.text)
            continue
        run_until_same(f"{ACTIVATE}\n{VARIABLES}\n{step.command}", step.shown, shop, environ)
        if step.command.startswith("mv"):
            time.sleep(1.5)  # the worker checks for a new rulebook once a second; the next event needs the new one
    wait_for_output(shop / "out", "large-order: ORD100123: 1294.00 EUR")


def check_reload(shop: Path) -> None:
    """Change waybill.yaml with two mistakes, then without, then the variables: only these restart the processes."""
    path = shop / "waybill.yaml"
    text = path.read_text()
    path.write_text(text.replace("kind: custom", "kind: custm").replace("preset: standard", "preset: stndard"))
    wait_for_output(shop / "out", "The previous configuration stays in use.")
    output = (shop / "out").read_text()
    assert "did you mean custom?" in output
    assert "did you mean standard-webhooks?" in output
    path.write_text(text.replace("standard-webhooks:", "orders:"))
    wait_for_output(shop / "out", "Reloaded the configuration.")
    assert "config.rejected" not in (shop / "out").read_text()
    with (shop / ".env").open("a") as file:
        file.write("ANOTHER=value\n")
    wait_for_output(shop / "out", "Restarted with the new configuration.")
