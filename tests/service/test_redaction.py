"""Redaction of a platform's response: names by their place, personal text, and the limit of the depth."""

import hashlib
from typing import Any

import pytest

from service.redaction import RESPONSE_DEPTH_MAX, log_ids_as_digests, loggable_id, loggable_name, redact_response


def test_shown_names_are_those_of_the_operation() -> None:
    answer: dict[str, Any] = {
        "name": "Hold", "lines": [{"product": {"name": "Pencil", "email": "a@example.com"}, "name": "Ann"}],
    }  # fmt: skip
    assert redact_response(answer, {"product.name"}) == {
        "name": "[redacted]",
        "lines": [{"product": {"name": "Pencil", "email": "[redacted]"}, "name": "[redacted]"}],
    }
    assert redact_response(answer, {"name"})["name"] == "Hold"
    assert redact_response({"note": "ask ann@example.com", "n": 1.5, "t": None}, ()) == {
        "note": "ask [redacted]",
        "n": 1.5,
        "t": None,
    }


@pytest.mark.parametrize(("levels", "shown"), [(RESPONSE_DEPTH_MAX, "end"), (RESPONSE_DEPTH_MAX + 1, "[too deep]")])
def test_a_deeper_value_is_not_shown(levels: int, shown: str) -> None:
    value: Any = "end"
    for _ in range(levels):
        value = [value]
    found: Any = redact_response(value, ())
    while isinstance(found, list):
        found = found[0]  # pyright: ignore[reportUnknownVariableType] - nested lists
    assert found == shown


@pytest.mark.parametrize("text", ["4501234567890", "PO-2026/17", "gid://shopify/Order/1", "a" * 128])
def test_an_id_of_another_system_is_logged_as_it_is(text: str) -> None:
    assert loggable_id(text) == text


@pytest.mark.parametrize(
    "text",
    ["Wilhelmina Quackenbush", "ann@example.com", "+4790817263", "x%40y", "Søren", "a" * 129, "", "-", "a\n", "\ud800"],
)
def test_an_id_that_can_be_personal_is_logged_as_a_digest(text: str) -> None:
    logged = loggable_id(text)
    assert logged.startswith("sha256:")
    assert len(logged) == len("sha256:") + 16
    assert logged == loggable_id(text)


def test_every_id_is_a_digest_by_policy_and_names_stay_readable() -> None:
    log_ids_as_digests(enabled=True)
    try:
        assert loggable_id("po-1") == "sha256:" + hashlib.sha256(b"po-1").hexdigest()[:16]
        assert loggable_name("order.updated") == "order.updated"
        assert loggable_name("order.updated for Wilhelmina Quackenbush").startswith("sha256:")
    finally:
        log_ids_as_digests(enabled=False)
    assert loggable_id("po-1") == "po-1"
