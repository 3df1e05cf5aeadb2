"""What a reader copies from the page of an event: a rule test that passes, and curl commands."""

import asyncio
import re
import subprocess
from html import unescape
from pathlib import Path

import pytest
from click.testing import CliRunner

from service.cli.main import waybill
from tests.service.ingress.admin.conftest import TOKENS
from tests.waiting import PATIENCE_SECONDS

from .conftest import Browser, NewBrowser
from .scenario import RULES, Scenario, add_event, order

RULE_WITH_PREVIOUS = """
- id: now-received
  type: purchase_order
  when: {all: [{field: previous.status, op: ne, value: ordered}, {field: status, op: eq, value: received}]}
"""


def copied(html: str, label: str) -> list[str]:
    """Return the texts of the buttons with a label."""
    return [unescape(text) for text in re.findall(rf'data-copy="([^"]*)" title="{label}"', html)]


def run_test(folder: Path, text: str, rules: str) -> None:
    """Run a copied rule test with its rules."""
    rule_file, test_file = folder / "orders.yaml", folder / "orders.examples.yaml"
    rule_file.write_text(rules.replace("SINK", "http://127.0.0.1:9"))
    test_file.write_text(text)
    done = CliRunner().invoke(waybill, ["rules", "test", str(test_file), "--rules", str(rule_file)])
    assert done.exit_code == 0, done.output


@pytest.mark.slow
async def test_a_copied_rule_test_passes_with_the_rules(browser: Browser, filled: Scenario, tmp_path: Path) -> None:
    rules = RULES.replace("cancelled", "received") + RULE_WITH_PREVIOUS
    await filled.worker.publish(rules)
    event_id = await add_event(filled.worker, "po-4712", order("po-4712", 40, 10))
    await filled.worker.run_worker()  # stores the previous state
    page = (await browser.post(f"/events/{event_id}/dry-run")).text
    (text,) = copied(page, "copy as rule example")
    assert "  previous:\n    status: received\n" in text
    assert "matches:\n    - large-order\n    - now-received\n    - short-receipt\n    unknown: []\n" in text
    assert text.startswith("- name: pack:purchase_order:po-4712 at ")
    await asyncio.to_thread(run_test, tmp_path, text, rules)
    invoke = CliRunner().invoke
    words = ["rules", "dry-run", "--as-test", "--url", filled.url, "--token", TOKENS["operator"]]
    done = await asyncio.to_thread(invoke, waybill, [*words, "--record", "pack:purchase_order:po-4712"])
    assert (done.exit_code, "  - short-receipt" in done.output) == (0, True), done.output
    await asyncio.to_thread(run_test, tmp_path, done.output, rules)
    for wrong in (["--last", "5"], ["--event", filled.dead, "-o", "json"]):
        failed = await asyncio.to_thread(invoke, waybill, [*words, *wrong])
        assert (failed.exit_code, "--as-test cannot be combined" in failed.output) == (2, True)


async def test_a_rule_test_has_no_personal_data_and_says_so(browser: Browser, filled: Scenario, tmp_path: Path) -> None:
    rule = "- {id: buyer, type: purchase_order, when: {field: raw.buyer.email, op: eq, value: kim@example.com}}"
    await filled.worker.publish(rule)
    record = order("po-4712", 1, 1) | {"buyer": {"email": "kim@example.com"}}
    filled.worker.sandbox.sandbox.catalog.put("pack_cloud", "purchase_order", "po-4712", record)
    page = (await browser.post(f"/events/{filled.dead}/dry-run")).text
    (text,) = copied(page, "copy as rule example")
    assert "kim@example.com" not in page
    assert text.startswith("# The results differ")
    await asyncio.to_thread(run_test, tmp_path, text, rule)


async def test_a_deleted_record_has_no_rule_test(browser: Browser, filled: Scenario) -> None:
    filled.worker.sandbox.sandbox.catalog.delete("pack_cloud", "purchase_order", "po-4712")
    page = (await browser.post(f"/events/{filled.dead}/dry-run")).text
    assert "The platform has no such record." in page
    assert copied(page, "copy as rule example") == []


@pytest.mark.slow
async def test_the_requests_of_effects_are_copied_as_curl(
    browser: Browser, new_browser: NewBrowser, filled: Scenario
) -> None:
    page = (await browser.get(f"/events/{filled.matched}?tab=effects")).text
    commands = copied(page, "copy as curl")
    assert len(commands) == 2
    assert all("curl --globoff \\\n  --request POST http" in command for command in commands)
    process = await asyncio.create_subprocess_exec("/bin/sh", "-n", stdin=subprocess.PIPE)
    await asyncio.wait_for(process.communicate(commands[0].encode()), PATIENCE_SECONDS)
    assert process.returncode == 0
    viewer = new_browser()
    await viewer.log_in("viewer")
    assert copied((await viewer.get(f"/events/{filled.matched}?tab=effects")).text, "copy as curl") == []
