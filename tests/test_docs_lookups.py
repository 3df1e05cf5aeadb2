"""How-to page about look-ups: its YAML is that of the example files, whose rule tests pass."""

import re
import textwrap
from pathlib import Path

import pytest

from service.actions import load_actions
from service.cli.rule_files import read_configured_rules
from service.cli.rules_test import DeliveryReader, ResponseReader
from service.configuration import load_config
from service.rules import Rulebook, write_document
from service.rules.rule_tests import read_tests, run_tests
from tests.workers.lookup_systems import FOLDER, SECRETS

PAGE = Path(__file__).parents[1] / "docs/how-to/look-up-further-records.md"
BLOCK = re.compile(r"^( *)```yaml\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def test_each_block_is_part_of_an_example_file() -> None:
    files = ["\n".join(map(str.strip, path.read_text().splitlines())) for path in sorted(FOLDER.iterdir())]
    blocks = [textwrap.dedent(block) for _, block in BLOCK.findall(PAGE.read_text())]
    assert len(blocks) == 5
    for block in blocks:
        text = "\n".join(map(str.strip, block.strip().splitlines()))
        assert any(text in file for file in files), block


def test_the_rule_tests_of_the_page_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_CONFIG", str(FOLDER / "waybill.yaml"))
    config = load_config(FOLDER / "waybill.yaml", SECRETS)
    written = [rule for file in read_configured_rules(config) for rule in file.rules]
    rulebook = Rulebook.load(write_document(written), load_actions(), config.record_types)
    tests = read_tests(FOLDER / "orders.examples.yaml", ResponseReader(), DeliveryReader(), rulebook.records)
    assert [result.differences for result in run_tests(rulebook, tests)] == [[]] * 4
