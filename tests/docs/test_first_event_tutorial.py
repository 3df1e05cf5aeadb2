"""Runs the tutorials of the first event, rule and console literally in two terminals."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.docs.forked_commands import forked_commands
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


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def wait_for_output(path: Path, text: str) -> None:
    wait_until(lambda: text in path.read_text())


def activations(shop: Path) -> int:
    """Return the number of rulebooks that the worker has activated."""
    return (shop / ".waybill" / "logs" / "worker-1.jsonl").read_text().count('"rulebook.activated"')


@pytest.fixture
def environ(tmp_path: Path) -> Iterator[dict[str, str]]:
    with forked_commands(tmp_path):
        yield {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"}


@pytest.mark.long(seconds=10)
def test_the_tutorials_run(tmp_path: Path, environ: dict[str, str], free_port: int) -> None:
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
            active = activations(shop)
            actual = run_until_same(f"{ACTIVATE}\n{with_ids(command, ids)}", shown, shop, environ)
            ids |= dict(zip(ID.findall(shown), ID.findall(actual), strict=False))
            if command.startswith("sed"):
                wait_for_output(shop / "out", "Rules published.")
                wait_until(lambda: activations(shop) > active)  # noqa: B023 - called at once
        wait_for_output(shop / "out", "short-receipt: po-1: 4 missing")
        wait_for_output(shop / "out", "short-receipt: po-1: 4 units missing")
        write_first_rule(shop, environ)


def write_first_rule(shop: Path, environ: dict[str, str]) -> None:
    """Run the tutorials that continue in the same two terminals."""
    for step in (*steps_of("tutorials/first-rule.md"), *steps_of("tutorials/console.md")):
        if step.file:
            (shop / step.file).write_text(step.text)
            continue
        active = activations(shop)
        run_until_same(f"{ACTIVATE}\n{VARIABLES}\n{step.command}", step.shown, shop, environ)
        if step.command.startswith("mv"):
            wait_until(lambda: activations(shop) > active)  # noqa: B023 - called at once
    wait_for_output(shop / "out", "large-order: ORD100123: 1294.00 EUR")
