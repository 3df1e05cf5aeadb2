"""Runs the commands of how-to pages literally, beside a `waybill dev` with its generated files."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from tests.docs.forked_commands import forked_commands
from tests.docs.page_steps import DOCS, steps_of
from tests.docs.transcripts import with_outputs
from tests.test_readme_quickstart import first_terminal, run_until_same

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.timeout(900)]

PAGES = (
    "how-to/verify-a-sender.md",
    "how-to/publish-and-roll-back-rules.md",
    "how-to/replay-after-an-outage.md",
    "how-to/erase-a-customer.md",
    "how-to/dashboards.md",
    "how-to/archive-events.md",
    "how-to/backtest-rules.md",
    "how-to/rotate-a-secret.md",
)
"""Pages that one installation shows, in this order: each finds the state that the previous one left."""
OWN_SYSTEMS, TUTORIAL = "docs/test_pages_with_own_systems.py", "docs/test_first_event_tutorial.py"
ELSEWHERE = {
    "tutorials/first-event.md": [TUTORIAL],
    "tutorials/first-rule.md": [TUTORIAL],
    "tutorials/console.md": [TUTORIAL],
    "tutorials/custom-platform.md": [OWN_SYSTEMS, "test_docs_platforms.py"],
    "how-to/act-on-events-without-a-platform.md": [OWN_SYSTEMS, "workers/test_events_alone.py"],
    "how-to/back-up-and-restore.md": ["docs/test_backup.py"],
    "how-to/call-an-api-with-a-credential.md": [OWN_SYSTEMS, "test_docs_how_to.py"],
    "how-to/kubernetes.md": ["helm/test_guide.py"],
    "how-to/look-up-further-records.md": [OWN_SYSTEMS, "test_docs_lookups.py"],
    "how-to/operations.md": ["observability/test_terminal.py"],
    "how-to/run-on-a-cluster.md": ["docs/test_cluster_page.py"],
    "how-to/send-to-slack-or-email.md": [OWN_SYSTEMS, "test_docs_how_to.py"],
    "how-to/trace-events.md": ["service/tracing/test_processes.py"],
}
"""Other pages with blocks, and the tests that run them. Each test names its page."""
ADDRESS = re.compile(r"^(webhooks|admin|sandbox) +http://127\.0\.0\.1:(\d+)", re.MULTILINE)
DOCUMENTED = {"webhooks": "8080", "admin": "8081", "sandbox": "8090"}
ACTIVATE = ". .venv/bin/activate\n"


class Terminal(Struct):
    """Second terminal beside a running `waybill dev`, with the port of each documented one."""

    folder: Path
    environ: dict[str, str]
    ports: dict[str, str]

    def run(self, page: str) -> dict[str, str]:
        """Run all steps of a page, and return the output of each command."""
        outputs: dict[str, str] = {}
        for step in steps_of(page):
            if step.file:
                (self.folder / step.file).write_text(step.text)
                continue
            command = step.command
            for documented, port in self.ports.items():
                command = command.replace(f"127.0.0.1:{documented}", f"127.0.0.1:{port}")
            outputs[step.command] = run_until_same(ACTIVATE + command, step.shown, self.folder, self.environ)
        return outputs


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    script = f"{ACTIVATE}exec waybill dev --port 0 --admin-port 0 --sandbox-port 0"
    with forked_commands(tmp_path), first_terminal(script, tmp_path, environ):
        found = dict(ADDRESS.findall((tmp_path / "out").read_text()))
        yield Terminal(tmp_path, environ, {DOCUMENTED[name]: port for name, port in found.items()})


@pytest.mark.long(seconds=12)
def test_commands_of_the_pages_print_the_shown_output(terminal: Terminal) -> None:
    outputs = {page: terminal.run(page) for page in PAGES}
    assert all(outputs.values())
    diagnosis = next(output for command, output in outputs[PAGES[0]].items() if "diagnose" in command)
    assert "not_verified" in diagnosis


def test_a_changed_output_is_written_with_its_ids() -> None:
    page = (
        "   ```console\n   $ waybill send x\n   202  {}\n   $ waybill explain {}\n"
        "   event {}: {} at 127.0.0.1:8090\n   ```\n"
    )
    old, new = "0" * 32, "1" * 32
    sent = [(f"202  {old}\n", f"202  {new}\n")]
    text = page.format(old, old, old, "ended")
    shown = f"event {old}: ended at 127.0.0.1:8090\n"
    same = [*sent, (shown, f"event {new}: ended at 127.0.0.1:31234\n")]
    assert with_outputs(text, same) == text
    changed = [*sent, (shown, f"event {new}: done at 127.0.0.1:31234\n")]
    assert with_outputs(text, changed) == page.format(new, new, new, "done")


def test_every_page_with_a_block_is_run() -> None:
    pages = {
        str(page.relative_to(DOCS))
        for folder in ("tutorials", "how-to")
        for page in (DOCS / folder).glob("*.md")
        if "```" in page.read_text()
    }
    assert pages == {*PAGES, *ELSEWHERE}
    for page, modules in ELSEWHERE.items():
        for module in modules:
            assert page.rpartition("/")[2] in (DOCS.parent / "tests" / module).read_text(), (page, module)
