"""Plurals of nouns after a number."""


def count_noun(number: int, noun: str, plural: str | None = None) -> str:
    """Join a number and its noun: `1 rule`, `2 rules`. Give `plural` where it is not the noun with an s."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
