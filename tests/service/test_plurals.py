"""Plurals of nouns after a number."""

import pytest

from service.plurals import count_noun


@pytest.mark.parametrize(("number", "text"), [(0, "0 rules"), (1, "1 rule"), (2, "2 rules")])
def test_a_noun_agrees_with_its_number(number: int, text: str) -> None:
    assert count_noun(number, "rule") == text


def test_an_irregular_plural_is_given() -> None:
    assert count_noun(1, "delivery", "deliveries") == "1 delivery"
    assert count_noun(2, "delivery", "deliveries") == "2 deliveries"
