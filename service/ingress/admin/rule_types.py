"""/rule-types: fields, operators and actions of rules, for forms and authors of rules."""

from collections.abc import Sequence
from functools import lru_cache

from litestar import Controller, get
from litestar.params import FromPath

from service.actions import Action
from service.ingress.admin.dependencies import Operations
from service.ingress.admin.paging import Page
from service.ingress.admin.problems import not_found
from service.management.installation import Installation
from service.records import RecordType
from service.rules.rule_types import RuleTypeDescription, list_rule_types


class RuleTypes(Controller):
    """Rule types: fields with kinds and operators, and actions with their fields."""

    path = "/rule-types"
    tags = ("Rules",)

    @get("/", role="viewer")
    async def list_rule_types(self, operations: Operations) -> Page[RuleTypeDescription]:
        """List the rule types."""
        found = _rule_types(operations.installation)
        return Page(found, len(found))

    @get("/{rule_type:str}", role="viewer")
    async def get_rule_type(self, rule_type: FromPath[str], operations: Operations) -> RuleTypeDescription:
        """Return one rule type."""
        for found in _rule_types(operations.installation):
            if found.id == rule_type:
                return found
        raise not_found(f"rule type {rule_type[:64]}")


def _rule_types(installation: Installation) -> Sequence[RuleTypeDescription]:
    return _describe(tuple(installation.actions()), tuple(installation.records().items()))


@lru_cache(maxsize=4)
def _describe(
    actions: Sequence[type[Action]], records: tuple[tuple[str, RecordType], ...]
) -> Sequence[RuleTypeDescription]:
    return list_rule_types(actions, dict(records))
