"""/rules/{rule}/conditions: the nodes of a rule's condition tree, one at a time, by id and parent."""

from collections.abc import Callable
from typing import Annotated

from litestar import Controller, Response, delete, get, post, put
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct, structs

from service.errors import ConfigError, Rejection
from service.ingress.admin.dependencies import Caller, Dependencies
from service.ingress.admin.paging import After, LimitParameter, Page, page_of
from service.ingress.admin.problems import ValidationProblem, invalid, not_found
from service.ingress.admin.rule_changes import (
    RULE_PATH,
    ErrorMapper,
    RuleChangeRequest,
    change_rule,
    current_rules,
    find_rule,
)
from service.ingress.admin.rules import IfMatch, Note, rule_headers
from service.rules import Condition, Rule
from service.rules.condition_nodes import (
    ConditionNode,
    NodeKind,
    NodeNotFound,
    TooManyChildren,
    add_node,
    find_node,
    list_nodes,
    remove_node,
    replace_node,
)


class CreateCondition(Struct, frozen=True, forbid_unknown_fields=True):
    """A condition to put below `parent`, at `position` among its children; without a parent, as the root."""

    condition: Condition
    parent: str | None = None
    position: Annotated[int, Meta(ge=0)] | None = None


class UpdateCondition(Struct, frozen=True, forbid_unknown_fields=True):
    """A condition to put in the place of one, with everything below it."""

    condition: Condition


class RuleConditions(Controller):
    """Rule conditions: list, create, get, update, delete. The ETag is the rule's, since ids move with siblings."""

    path = "/rules/{rule_id:str}/conditions"
    tags = ("Rules",)

    @get("/", role="viewer")
    async def list_conditions(
        self,
        rule_id: FromPath[str],
        parts: Dependencies,
        parent: Annotated[str | None, QueryParameter(max_length=500, description="the children of this node")] = None,
        word: Annotated[NodeKind | None, QueryParameter()] = None,
        limit: LimitParameter = 50,
        after: After = None,
    ) -> Response[Page[ConditionNode]]:
        """List the nodes, parents before their children."""
        version, document = await current_rules(parts)
        rule = find_rule(document, rule_id)
        found = [node for node in list_nodes(rule.when) if parent in {None, node.parent} and word in {None, node.word}]
        page = page_of(found, lambda node: node.id, limit, after)
        return Response(page, headers=rule_headers(version, rule))

    @get("/{condition_id:str}", role="viewer")
    async def get_condition(
        self, rule_id: FromPath[str], condition_id: FromPath[str], parts: Dependencies
    ) -> Response[ConditionNode]:
        """Give one node with everything below it."""
        version, document = await current_rules(parts)
        rule = find_rule(document, rule_id)
        return Response(_found(rule, condition_id), headers=rule_headers(version, rule))

    @post("/", role="operator")
    async def create_condition(
        self,
        rule_id: FromPath[str],
        data: JSONBody[CreateCondition],
        parts: Dependencies,
        caller: Caller,
        if_match: IfMatch = None,
        note: Note = "",
    ) -> Response[ConditionNode]:
        """Put a condition below a parent, or make it the root of a rule that has none."""
        made: list[str] = []

        def change(rule: Rule) -> Rule:
            when, node_id = add_node(rule.when, data.parent, data.position, data.condition)
            made[:] = [node_id]
            return structs.replace(rule, when=when)

        request = RuleChangeRequest(caller, rule_id, if_match, "condition.created", note)
        return await _changed(parts, request, change, lambda: made[0], created=True)

    @put("/{condition_id:str}", role="operator")
    async def update_condition(
        self,
        rule_id: FromPath[str],
        condition_id: FromPath[str],
        data: JSONBody[UpdateCondition],
        parts: Dependencies,
        caller: Caller,
        if_match: IfMatch = None,
        note: Note = "",
    ) -> Response[ConditionNode]:
        """Replace a node with everything below it."""

        def change(rule: Rule) -> Rule:
            return structs.replace(rule, when=replace_node(rule.when, condition_id, data.condition))

        request = RuleChangeRequest(caller, rule_id, if_match, "condition.updated", note)
        return await _changed(parts, request, change, lambda: condition_id)

    @delete("/{condition_id:str}", role="operator", status_code=204)
    async def delete_condition(
        self,
        rule_id: FromPath[str],
        condition_id: FromPath[str],
        parts: Dependencies,
        caller: Caller,
        if_match: IfMatch = None,
        note: Note = "",
    ) -> None:
        """Take a node out; without its root, a rule matches always."""

        def change(rule: Rule) -> Rule:
            return structs.replace(rule, when=remove_node(rule.when, condition_id))

        request = RuleChangeRequest(caller, rule_id, if_match, "condition.deleted", note)
        await change_rule(parts, request, _with_rejections(change), lambda error: invalid(error, RULE_PATH))


def _found(rule: Rule, condition_id: str) -> ConditionNode:
    try:
        return find_node(rule.when, condition_id)
    except NodeNotFound:
        raise not_found(f"condition {condition_id[:200]} in {rule.id}") from None


async def _changed(
    parts: Dependencies,
    request: RuleChangeRequest,
    change: Callable[[Rule], Rule],
    node_id: Callable[[], str],
    *,
    created: bool = False,
) -> Response[ConditionNode]:
    kept: list[Rule] = []

    def changed(rule: Rule) -> Rule:
        kept[:] = [_with_rejections(change)(rule)]
        return kept[0]

    version = await change_rule(parts, request, changed, _place_below(node_id))
    headers = rule_headers(version, kept[0])
    if created:
        headers["location"] = f"/api/v1/rules/{request.rule_id}/conditions/{node_id()}"
    return Response(find_node(kept[0].when, node_id()), headers=headers, status_code=201 if created else 200)


def _with_rejections(change: Callable[[Rule], Rule]) -> Callable[[Rule], Rule]:
    """Make refusals of what a tree does not have or does not take."""

    def changed(rule: Rule) -> Rule:
        try:
            return change(rule)
        except NodeNotFound as error:
            raise not_found(f"condition {str(error)[:200]} in {rule.id}") from None
        except TooManyChildren as error:
            raise Rejection(409, "limit_exceeded", f"{error}.") from None

    return changed


def _place_below(node_id: Callable[[], str]) -> ErrorMapper:
    """Point into the condition that was sent, where the mistake lies in it."""

    def place(error: ConfigError) -> ValidationProblem:
        found = invalid(error, RULE_PATH)
        begin = "/" + node_id().replace(".", "/")
        faults = [
            structs.replace(fault, pointer="/condition" + fault.pointer.removeprefix(begin))
            for fault in found.faults
            if fault.pointer.startswith(begin)
        ]
        return ValidationProblem(faults or found.faults)

    return place
