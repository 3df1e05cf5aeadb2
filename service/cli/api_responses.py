"""Responses of the admin API that differ from the types of the management operations."""

from collections.abc import Sequence

from msgspec import Struct

from service.management.rulebook import Publication
from service.rules import Rule


class RuleResponse(Rule, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """Rule in a response of the admin API."""

    origin: str

    def without_origin(self) -> Rule:
        """Return the rule as in a rule file."""
        return Rule(**{name: getattr(self, name) for name in Rule.__struct_fields__})


class RulebookResponse(Struct, frozen=True):
    """Rulebook version in a response of the admin API."""

    version: str
    rules: tuple[RuleResponse, ...]


class PublicationPage(Struct, frozen=True):
    """Page of publications in a response of the admin API."""

    items: Sequence[Publication]
    next: str | None = None
