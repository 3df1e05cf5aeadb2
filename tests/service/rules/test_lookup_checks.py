"""Look-ups of rules against waybill.yaml: accounts, kinds that they fetch, and documented values."""

from typing import Any

import msgspec
import pytest

from service.config.record_kinds import RecordKindConfig, build_record_types
from service.configuration import load_config
from service.rules import Rule
from service.rules.enums import check_enums
from service.rules.lookup_checks import check_lookups
from tests.workers.lookup_systems import FOLDER, SECRETS


@pytest.mark.parametrize(
    ("lookup", "when", "mistake"),
    [
        (
            {"platform": "wsm", "kind": "stock"},
            "available",
            "platform: no account 'wsm' under platforms:. Fix: did you mean wms?",
        ),
        (
            {"kind": "stock"},
            "available",
            "kind: the account erp has no stock to fetch. Fix: write platform: wms, or add",
        ),
        (
            {"platform": "wms", "kind": "supplier"},
            "rating",
            "kind: the account wms has no supplier to fetch. Fix: write platform: erp",
        ),
    ],
)
def test_an_account_that_cannot_fetch_the_kind_is_a_mistake(lookup: dict[str, Any], when: str, mistake: str) -> None:
    rule: dict[str, Any] = {"id": "r", "type": "purchase_order", "with": {"x": {**lookup, "id": "{id}"}}}
    rule |= {"when": {"field": f"x.{when}", "op": "exists"}, "actions": []}
    (found,) = check_lookups(load_config(FOLDER / "waybill.yaml", SECRETS), msgspec.convert(rule, Rule), "rule")
    assert str(found).startswith(f"rule.with.x.{mistake}")


def test_a_value_that_the_kind_does_not_declare_is_a_mistake() -> None:
    config = load_config(FOLDER / "waybill.yaml", SECRETS)
    status = {"fields": {"status": {"enum": ["active", "blocked"]}, "parts": {"list": {"state": {"enum": ["ok"]}}}}}
    kinds, _ = build_record_types({"supplier": msgspec.convert(status, RecordKindConfig)})
    config = msgspec.structs.replace(config, record_types={**config.record_types, **kinds})
    supplier = {"kind": "supplier", "id": "{id}"}
    rule: dict[str, Any] = {
        "id": "r",
        "type": "purchase_order",
        "with": {"status": supplier, "each": {**supplier, "each": "lines"}},
        "when": {
            "all": [
                {"field": "status.status", "op": "eq", "value": "blokced"},
                {"field": "status.status", "op": "eq", "value": "active"},
                {"any_of": "each", "where": {"field": "record.status", "op": "eq", "value": "activ"}},
                {"any_of": "each", "where": {"field": "element.product_code", "op": "eq", "value": "activ"}},
            ]
        },
    }
    found = [f"{each.path}: {each.fix}" for each in check_lookups(config, msgspec.convert(rule, Rule), "rule")]
    assert found == [
        "rule.when.all[0].value: did you mean blocked? valid: active, blocked",
        "rule.when.all[2].where.value: did you mean active? valid: active, blocked",
    ]
    assert list(check_enums(msgspec.convert(rule, Rule), "rule", {"erp": {"status.status": ("open",)}})) == []
