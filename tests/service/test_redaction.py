"""Redaction of a platform's response: names by their place, personal text, and the limit of the depth."""

from typing import Any

import pytest

from service.redaction import RESPONSE_DEPTH_MAX, redact_response


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
