"""Functions in docs/reference/rules.md: each has an example, and each example gives the value that the page states."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.actions import load_actions
from service.config.strict_yaml import parse_yaml
from service.events import Event, RecordRef
from service.records import PurchaseOrder
from service.rules import Rule, Rulebook, Subject, write_document
from service.rules.compiler.functions import FUNCTIONS

TEXT = (Path(__file__).parents[1] / "docs/reference/rules.md").read_text()
SECTION = TEXT.partition("### Functions")[2].partition("\n### ")[0]
RULE, RECORD = re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)
ROWS = [
    [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in SECTION.splitlines()
    if line.startswith("| `")
]
RAW = {"paid_at": "2026-04-02T08:00:00+02:00"}


def subject() -> Subject:
    record = msgspec.convert(parse_yaml(RECORD, "docs"), PurchaseOrder)
    event = Event(
        1, "e1", "shop", "changed", "changed", RecordRef("shop", "purchase_order", "po-1"), None, {}, None, b""
    )
    return Subject(event, record, RAW)


def rendered(template: str) -> Any:
    action = {"id": "a", "do": "publish", "stream": "s", "message": {"value": template}}
    rule = Rule(id="r", type="purchase_order", actions=(action,))
    evaluation = Rulebook.load(write_document([rule]), load_actions()).evaluate(subject(), datetime.now(UTC))
    return evaluation.effects[0].inputs["message"]["value"]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_an_example_gives_the_stated_value(row: list[str]) -> None:
    _, _, example, value = row
    assert rendered(example.strip("`")) == msgspec.json.decode(value.strip("`"))


def test_every_function_has_an_example() -> None:
    named = {name for row in ROWS for name in re.findall(r"`([a-z]+)", row[0])}
    assert named == set(FUNCTIONS)


def test_the_rule_of_the_page_matches_when_its_conditions_are_true() -> None:
    found = msgspec.convert(parse_yaml(RULE, "docs"), list[Rule])
    rulebook = Rulebook.load(write_document(found), load_actions())
    order = msgspec.convert(
        parse_yaml(RECORD.replace("ordered: 12", "ordered: 97"), "docs")  # pyright: ignore[reportArgumentType]
        | {"updated_at": "2026-03-30T00:00:00Z"},
        PurchaseOrder,
    )
    seen = subject()
    matching = rulebook.evaluate(Subject(seen.event, order, RAW), datetime.now(UTC))
    assert [verdict.result for verdict in matching.verdicts] == ["matched"]
    assert matching.effects[0].inputs["body"] == {
        "due": "11.04.2026",
        "lines": [
            {"sku": "A-1", "quantity": 3, "unit": "pcs"},
            {"sku": "B-2", "quantity": 97, "unit": "pcs"},
        ],
    }
    assert [verdict.result for verdict in rulebook.evaluate(seen, datetime.now(UTC)).verdicts] == ["unmatched"]
