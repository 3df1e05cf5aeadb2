"""Responses of the admin API that differ from the types of the management operations."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from service.errors import Rejection
from service.management.rulebook import Publication
from service.rules import Rule

NO_ROUTE = "Not Found."
"""Detail of a 404 without a route: the webhook port or another version of the API answered."""


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


def read_rejection(status: int, body: bytes) -> Rejection:
    """Decode an error response.

    Raises:
        KeyError, msgspec.DecodeError: The response is not from an admin API.
    """
    problem = msgspec.json.decode(body, type=dict[str, Any])
    if problem["detail"] == NO_ROUTE:
        raise KeyError(NO_ROUTE)
    return Rejection(status, str(problem["code"]), " ".join(_problem_details(problem)))


def _problem_details(problem: Mapping[str, Any]) -> Iterator[str]:
    """Yield the detail of a problem, and each of its errors with its pointer."""
    yield str(problem["detail"])
    for fault in problem.get("errors", ()):
        fix = f" ({fault['fix']})" if fault.get("fix") else ""
        yield f"{fault['pointer'] or 'request'}: {fault['detail']}{fix}."
