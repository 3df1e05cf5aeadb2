"""Destination in log lines and metrics: only names of waybill.yaml, never the text of an input."""

from types import SimpleNamespace

import pytest

from workers.processing.action_calls import destination_name
from workers.processing.history import StoredEffect

RESOURCES = {"destinations": SimpleNamespace(by_name={"erp": object()})}


@pytest.mark.parametrize(
    ("inputs", "name"),
    [({"destination": "erp"}, "erp"), ({"destination": "a@b.test"}, None), ({"destination": 7}, None), ({}, None)],
)
def test_only_names_of_destinations_are_returned(inputs: dict[str, object], name: str | None) -> None:
    effect = StoredEffect("rule", "action", "own", "keyed", inputs)
    assert destination_name(effect, RESOURCES) == name
    assert destination_name(effect, {}) is None
