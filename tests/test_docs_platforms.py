"""Tests that the pages of platforms and of custom platforms list every field and error of the code."""

import re
from pathlib import Path

import msgspec
import pytest

from service.actions import load_actions
from service.configuration import load_config
from service.records import Address, Customer, Line, PurchaseOrder
from service.rules import Rulebook, check_operations, write_document
from tests.service.rules.rule_samples import rules_of

DOCS = Path(__file__).parents[1] / "docs"
PLATFORMS = (DOCS / "reference/platforms.md").read_text()
SERVICE = Path(__file__).parents[1] / "service"
CUSTOM = (DOCS / "tutorials/custom-platform.md").read_text()


def section(title: str) -> str:
    return re.split(r"^##+ ", PLATFORMS.split(f"# {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


@pytest.mark.parametrize(
    ("title", "record", "prefix"),
    [
        ("Customer", Customer, ""),
        ("Addresses", Address, ""),
        ("Purchase order", PurchaseOrder, ""),
        ("Purchase order", Line, "lines."),
    ],
)
def test_tables_list_every_field_of_a_record(title: str, record: type[msgspec.Struct], prefix: str) -> None:
    rows = [line for line in section(title).splitlines() if line.startswith("| `")]
    named = {word for row in rows for word in re.findall(r"`([a-z_.]+)`", row.split("|")[1])}
    fields = {prefix + field.encode_name for field in msgspec.structs.fields(record)}
    assert fields - named <= {"lines", "supplier", "customer"}


KINDS = re.compile(
    r"(?:TransientError|PermanentError|Deferred)[(,]\s*\"([a-z_]+)\"|\"((?:config|credentials|request|platform)_[a-z_]+)\""
)
CODE = [
    *(SERVICE / "platforms").rglob("*.py"),
    *(SERVICE / "throttles").rglob("*.py"),
    *(SERVICE / "http_client").rglob("*.py"),
    *(
        SERVICE.parent / "workers" / name
        for name in ("processing/fetching.py", "processing/missing_records.py", "polling/poll_pass.py")
    ),
]


def test_error_table_lists_every_error_of_platform_calls() -> None:
    raised = {name for path in CODE for pair in KINDS.findall(path.read_text()) for name in pair if name}
    rows = [line for line in section("Errors").splitlines() if line.startswith("| ")]
    listed = {word for row in rows[1:] for word in re.findall(r"`([a-z_]+)`", row.split("|")[2])}
    assert listed == raised | {"account_throttled"}
    assert {"tls", "platform_wrong_record", "config_wrong_address", "platform_rejected"} <= listed


def test_examples_of_custom_platform_page_are_part_of_the_tested_file() -> None:
    example = (DOCS / "examples" / "woocommerce.yaml").read_text()
    lines = {line.split(" #")[0].strip() for line in example.splitlines()}
    *blocks, rule = re.findall(r"```yaml\n(.*?)```", CUSTOM, re.DOTALL)
    assert len(blocks) == 5
    assert [line for block in blocks for line in block.splitlines() if line.strip() not in lines] == []
    config = load_config(DOCS / "examples" / "woocommerce.yaml", {"SHOP_SECRET": "a", "SHOP_WEBHOOK_SECRET": "b" * 24})
    (read,) = rules_of(rule)
    assert list(check_operations(config, read, "rule")) == []
    Rulebook.load(write_document([read]), load_actions())
