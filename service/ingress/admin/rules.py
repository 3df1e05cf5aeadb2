"""/rules: the active rules. Rules of the admin API can be changed here; rules of files are read-only."""

from typing import Annotated, Any, Literal

from litestar import Controller, Response, delete, get, post, put
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import UNSET, Struct, UnsetType, structs

from service.actions import Identifier
from service.events import ChangeType
from service.ingress.admin.dependencies import Operations
from service.ingress.admin.paging import After, LimitParameter, Page, page_of
from service.ingress.admin.problems import id_mismatch
from service.ingress.admin.rule_changes import (
    Edit,
    Note,
    add_rule,
    change_rule,
    current_rules,
    find_rule,
    rule_headers,
)
from service.rules import Rule
from service.rules.rulebook_document import Document
from service.rules.syntax import RuleType

Origin = Literal["file", "api"]


class RuleView(Rule, frozen=True, kw_only=True, omit_defaults=False, forbid_unknown_fields=False):
    """Active rule and its origin."""

    origin: Origin


class RuleReplacement(Rule, frozen=True, kw_only=True):
    """New content of a rule. Its id is in the path; a repeated `id` must be the same."""

    id: Identifier | UnsetType = UNSET  # pyright: ignore[reportIncompatibleVariableOverride] - only here it may be absent


class RuleQuery(Struct, frozen=True):
    """Filter of rules."""

    type: RuleType | None
    origin: Origin | None
    enabled: bool | None
    event: ChangeType | None
    source: str | None

    def matches(self, rule: RuleView) -> bool:
        """Return whether a rule matches. A rule without events or sources applies to all of them."""
        pairs = ((self.type, rule.type), (self.origin, rule.origin), (self.enabled, rule.enabled))
        lists = ((self.event, rule.events), (self.source, rule.sources))
        return all(expected is None or expected == actual for expected, actual in pairs) and all(
            expected is None or not actual or expected in actual for expected, actual in lists
        )


class Rules(Controller):
    """Rules: list, create, get, update, delete. Every change makes a new version of the rulebook."""

    path = "/rules"
    tags = ("Rules",)

    @get("/", role="viewer")
    async def list_rules(
        self,
        operations: Operations,
        type: Annotated[RuleType | None, QueryParameter()] = None,
        origin: Annotated[Origin | None, QueryParameter()] = None,
        enabled: Annotated[bool | None, QueryParameter()] = None,
        event: Annotated[ChangeType | None, QueryParameter(description="rules for this change type")] = None,
        source: Annotated[
            str | None, QueryParameter(max_length=100, description="rules for events of this source")
        ] = None,
        limit: LimitParameter = 50,
        after: After = None,
    ) -> Response[Page[RuleView]]:
        """List the rules in the order of evaluation."""
        version, document = await current_rules(operations)
        query = RuleQuery(type, origin, enabled, event, source)
        found = [rule for rule in views(document) if query.matches(rule)]
        return Response(page_of(found, lambda rule: rule.id, limit, after), headers=rule_headers(version))

    @get("/{rule_id:str}", role="viewer")
    async def get_rule(self, rule_id: FromPath[str], operations: Operations) -> Response[RuleView]:
        """Return one rule with its ETag."""
        version, document = await current_rules(operations)
        rule = find_rule(document, rule_id)
        return Response(view(rule, document), headers=rule_headers(version, rule))

    @post("/", role="operator")
    async def create_rule(self, data: JSONBody[Rule], operations: Operations, note: Note = "") -> Response[RuleView]:
        """Create a rule."""
        version = await add_rule(operations, data, note)
        headers = rule_headers(version, data) | {"location": f"/api/v1/rules/{data.id}"}
        return Response(RuleView(**structs.asdict(data), origin="api"), headers=headers)

    @put("/{rule_id:str}", role="operator")
    async def update_rule(
        self, rule_id: FromPath[str], data: JSONBody[RuleReplacement], edit: Edit
    ) -> Response[RuleView]:
        """Replace a rule as a whole."""
        if data.id not in {UNSET, rule_id}:
            raise id_mismatch(rule_id)
        fields: dict[str, Any] = structs.asdict(data) | {"id": rule_id}
        rule = Rule(**fields)
        version = await change_rule(edit, "rule.updated", lambda _: rule)
        return Response(RuleView(**structs.asdict(rule), origin="api"), headers=rule_headers(version, rule))

    @delete("/{rule_id:str}", role="operator", status_code=204)
    async def delete_rule(self, edit: Edit) -> None:
        """Delete a rule."""
        await change_rule(edit, "rule.deleted", lambda _: None)


def views(document: Document) -> list[RuleView]:
    """Return all rules in the order of evaluation."""
    return [view(rule, document) for rule in sorted(document.rules, key=lambda rule: (rule.sort, rule.id))]


def view(rule: Rule, document: Document) -> RuleView:
    """Return a rule with its origin."""
    return RuleView(**structs.asdict(rule), origin="api" if rule in document.api_rules else "file")
