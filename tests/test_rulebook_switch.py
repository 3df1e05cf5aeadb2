"""Workers as real processes: a valid rulebook is activated in all of them, an invalid one in none."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.cli.main import waybill
from service.dev.stack import Stack, open_stack
from service.dev.workspace import make_workspace
from service.rules import document_version
from service.settings import load_settings
from service.store import open_shards
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.crash

RULES = "- {id: only, type: purchase_order, when: {field: status, op: eq, value: received}}\n"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("WAYBILL_")}
    with open_stack(make_workspace(tmp_path), environ, {"port": "0", "admin_port": "0"}) as opened:
        yield opened


def run(stack: Stack, *words: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(waybill, words, env=stack.environ)


def test_default_refresh_interval_is_under_two_seconds() -> None:
    assert load_settings({}).rulebook_refresh_seconds < 2


async def publish(stack: Stack, document: bytes) -> None:
    store = await open_shards(load_settings({"WAYBILL_REDIS_URL": stack.environ["WAYBILL_REDIS_URL"]}))
    before = await store.home.rulebook.version()
    assert await store.home.rulebook.publish(document_version(document), document, "somebody", "", before)
    await store.close()


def test_all_workers_activate_a_rulebook_and_keep_the_last_valid_one(stack: Stack) -> None:
    workers = [stack.start_worker(f"w{number}") for number in range(2)]
    rules = stack.workspace.directory / "other.yaml"
    rules.write_text(RULES)
    assert run(stack, "rules", "apply", str(rules), "--note", "other").exit_code == 0
    active = ""
    for worker in workers:
        line = worker.wait_for(
            lambda line: line.get("message") == "rulebook.activated" and line.get("rules") == 1, PATIENCE_SECONDS
        )
        assert line["previous"]
        active = str(line["rulebook"])
    asyncio.run(publish(stack, b'{"format": 1, "file_rules": [{"id": "x", "type": "customer", "when": {"all": []}}]}'))
    for worker in workers:
        line = worker.wait_for(lambda line: line.get("message") == "rulebook.rejected", PATIENCE_SECONDS)
        assert line["active"] == active
    assert run(stack, "rules", "rollback", active).stdout.startswith(f"{active} activated")
    dry_run = run(stack, "rules", "dry-run", "--record", "pack:purchase_order:po-1", "--rules", str(rules))
    assert (dry_run.exit_code, dry_run.stderr) == (0, "")
    assert "only: " in dry_run.stdout
    assert "(was " in dry_run.stdout
    same = run(stack, "rules", "dry-run", "--last", "5")
    assert (same.exit_code, same.stdout.splitlines()[0]) == (0, f"0 events: active {active}, candidate {active}")
    missing = run(stack, "explain", "0" * 32)
    assert (missing.exit_code, "not found" in missing.stderr) == (2, True)
    invalid: list[list[str]] = [["dry-run"], ["dry-run", "--record", "pack"], ["dry-run", "--event", "none"]]
    for words in invalid:
        assert run(stack, "rules", *words).exit_code == 2
