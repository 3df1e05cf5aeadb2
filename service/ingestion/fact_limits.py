"""Limits of the texts of a fact, which become part of keys and log lines. Pure."""

from service.envelopes.envelope import unrecognized_event
from service.events import EVENT_KIND, Fact

TEXT_CHARACTERS_MAX = 256
"""Maximum length of an event type or record id, which are part of keys and log lines."""
ID_CHARACTERS_MAX = 2_048
"""Maximum length of an event id, which is only hashed. An id from CloudEvents includes the source URI."""


def check_facts(facts: tuple[Fact, ...]) -> None:
    """Check the types, ids and record ids of facts.

    Raises:
        Rejection: 422 `unrecognized_event`.
    """
    for fact in facts:
        _check_text(fact.type, "type")
        if fact.record is None:
            continue  # ignored: no other value of it is stored or logged
        if fact.id is not None:
            _check_text(fact.id, "id", ID_CHARACTERS_MAX)
        if fact.record.id or fact.record.kind != EVENT_KIND:
            _check_text(fact.record.id, "record's id")


def _check_text(text: str, what: str, characters_max: int = TEXT_CHARACTERS_MAX) -> None:
    if not 0 < len(text) <= characters_max or not text.isprintable():
        detail = f"Send the {what} as 1 to {characters_max} printable characters."
        raise unrecognized_event(detail)
