"""/rules/{rule}/conditions: nodes of the condition tree of a rule, by id and parent."""

from collections.abc import Callable
from typing import Annotated

from litestar import Controller, Response, delete, get, post, put
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct, structs

from service.errors import ConfigError, Rejection
from service.ingress.admin.dependencies import Operations
from service.ingress.admin.paging import After, LimitParameter, Page, page_of
from service.ingress.admin.problems import ValidationProblem, invalid, not_found
from service.ingress.admin.rule_changes import RULE_PATH, Edit, RuleEdit, load_rule
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

NodeChange = Callable[[Condition | None], tuple[Condition | None, str]]
"""Returns the changed condition of a rule and the id of the node in question."""


class CreateCondition(Struct, frozen=True, forbid_unknown_fields=True):
    """Condition to insert below `parent`, at `position` among its children; without a parent, as the root."""

    condition: Condition
    parent: str | None = None
    position: Annotated[int, Meta(ge=0)] | None = None


class UpdateCondition(Struct, frozen=True, forbid_unknown_fields=True):
    """Condition that replaces a node and everything below it."""

    condition: Condition


class RuleConditions(Controller):
    """Rule conditions: list, create, get, update, delete. The ETag is the rule's, because ids change with siblings."""

    path = "/rules/{rule_id:str}/conditions"
    tags = ("Rules",)

    @get("/", role="viewer")
    async def list_conditions(
        self,
        rule_id: FromPath[str],
        operations: Operations,
        parent: Annotated[str | None, QueryParameter(max_length=500, description="the children of this node")] = None,
        word: Annotated[NodeKind | None, QueryParameter()] = None,
        limit: LimitParameter = 50,
        after: After = None,
    ) -> Response[Page[ConditionNode]]:
        """List the nodes, parents before their children."""
        rule, headers = await load_rule(operations, rule_id)
        found = [node for node in list_nodes(rule.when) if parent in {None, node.parent} and word in {None, node.word}]
        return Response(page_of(found, lambda node: node.id, limit, after), headers=headers)

    @get("/{condition_id:str}", role="viewer")
    async def get_condition(
        self, rule_id: FromPath[str], condition_id: FromPath[str], operations: Operations
    ) -> Response[ConditionNode]:
        """Return one node with everything below it."""
        rule, headers = await load_rule(operations, rule_id)
        try:
            return Response(find_node(rule.when, condition_id), headers=headers)
        except NodeNotFound:
            raise not_found(f"condition {condition_id[:200]} in {rule.id}") from None

    @post("/", role="operator")
    async def create_condition(self, data: JSONBody[CreateCondition], edit: Edit) -> Response[ConditionNode]:
        """Insert a condition below a parent, or as the root of a rule without a condition."""
        response = await _change(
            edit, "condition.created", lambda when: add_node(when, data.parent, data.position, data.condition)
        )
        response.headers["location"] = f"/api/v1/rules/{edit.rule_id}/conditions/{response.content.id}"
        return response

    @put("/{condition_id:str}", role="operator")
    async def update_condition(
        self, condition_id: FromPath[str], data: JSONBody[UpdateCondition], edit: Edit
    ) -> Response[ConditionNode]:
        """Replace a node and everything below it."""
        return await _change(
            edit, "condition.updated", lambda when: (replace_node(when, condition_id, data.condition), condition_id)
        )

    @delete("/{condition_id:str}", role="operator", status_code=204)
    async def delete_condition(self, condition_id: FromPath[str], edit: Edit) -> None:
        """Delete a node. Without the root node, the rule always matches."""
        change = _with_rejections(lambda when: (remove_node(when, condition_id), condition_id))
        await edit.change_part("condition.deleted", change, lambda error, _: invalid(error, RULE_PATH))


async def _change(edit: RuleEdit, audit_action: str, change: NodeChange) -> Response[ConditionNode]:
    """Change a node and return the response with the changed node."""
    rule, node_id, headers = await edit.change_part(audit_action, _with_rejections(change), _point_into_condition)
    return Response(find_node(rule.when, node_id), headers=headers)


def _with_rejections(change: NodeChange) -> Callable[[Rule], tuple[Rule, str]]:
    """Return the change of a rule that changes its condition, with errors of the tree as rejections."""

    def changed(rule: Rule) -> tuple[Rule, str]:
        try:
            when, node_id = change(rule.when)
        except NodeNotFound as error:
            raise not_found(f"condition {str(error)[:200]} in {rule.id}") from None
        except TooManyChildren as error:
            raise Rejection(409, "limit_exceeded", f"{error}.") from None
        return structs.replace(rule, when=when), node_id

    return changed


def _point_into_condition(error: ConfigError, node_id: str) -> ValidationProblem:
    """Map an error to a problem that points into the condition of the request, if the mistake is in it."""
    found = invalid(error, RULE_PATH)
    prefix = "/" + node_id.replace(".", "/")
    faults = [
        structs.replace(fault, pointer="/condition" + fault.pointer.removeprefix(prefix))
        for fault in found.faults
        if fault.pointer.startswith(prefix)
    ]
    return ValidationProblem(faults or found.faults)
