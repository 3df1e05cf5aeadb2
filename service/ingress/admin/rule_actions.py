"""/rules/{rule}/actions: actions of a rule, by their id within the rule."""

from typing import Annotated, Any

from litestar import Controller, Response, delete, get, post, put
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import structs

from service.errors import ConfigError, Rejection
from service.ingress.admin.dependencies import Operations
from service.ingress.admin.paging import After, LimitParameter, Page, page_of
from service.ingress.admin.problems import id_mismatch, invalid, not_found
from service.ingress.admin.rule_changes import RULE_PATH, Edit, load_rule
from service.rules import Rule

ActionBody = dict[str, Any]
"""Action as in a rule: `id`, `do` and the fields of its type."""


class RuleActions(Controller):
    """Rule actions: list, create, get, update, delete. They run in their order; the ETag is the rule's."""

    path = "/rules/{rule_id:str}/actions"
    tags = ("Rules",)

    @get("/", role="viewer")
    async def list_actions(
        self,
        rule_id: FromPath[str],
        operations: Operations,
        do: Annotated[str | None, QueryParameter(max_length=100, description="actions of this kind, as http")] = None,
        limit: LimitParameter = 50,
        after: After = None,
    ) -> Response[Page[ActionBody]]:
        """List the actions in their order."""
        rule, headers = await load_rule(operations, rule_id)
        found = [action for action in rule.actions if do in {None, action["do"]}]
        return Response(page_of(found, lambda action: str(action["id"]), limit, after), headers=headers)

    @get("/{action_id:str}", role="viewer")
    async def get_action(
        self, rule_id: FromPath[str], action_id: FromPath[str], operations: Operations
    ) -> Response[ActionBody]:
        """Return one action."""
        rule, headers = await load_rule(operations, rule_id)
        return Response(rule.actions[_position(rule, action_id)], headers=headers)

    @post("/", role="operator")
    async def create_action(self, data: JSONBody[ActionBody], edit: Edit) -> Response[ActionBody]:
        """Add an action after the others."""

        def change(rule: Rule) -> tuple[Rule, int]:
            return structs.replace(rule, actions=(*rule.actions, data)), len(rule.actions)

        rule, _, headers = await edit.change_part("action.created", change, _point_into_action)
        return Response(data, headers=headers | {"location": f"/api/v1/rules/{rule.id}/actions/{data['id']}"})

    @put("/{action_id:str}", role="operator")
    async def update_action(
        self, action_id: FromPath[str], data: JSONBody[ActionBody], edit: Edit
    ) -> Response[ActionBody]:
        """Replace an action as a whole. The id cannot change, because idempotency keys of its effects contain it."""
        if data.get("id", action_id) != action_id:
            raise id_mismatch(action_id)
        action = {"id": action_id, **data}

        def change(rule: Rule) -> tuple[Rule, int]:
            position = _position(rule, action_id)
            return _with_actions(rule, position, action), position

        _, _, headers = await edit.change_part("action.updated", change, _point_into_action)
        return Response(action, headers=headers)

    @delete("/{action_id:str}", role="operator", status_code=204)
    async def delete_action(self, action_id: FromPath[str], edit: Edit) -> None:
        """Delete an action. Effects of earlier decisions still run."""

        def change(rule: Rule) -> tuple[Rule, int]:
            position = _position(rule, action_id)
            return _with_actions(rule, position), position

        await edit.change_part("action.deleted", change, lambda error, _: invalid(error, RULE_PATH))


def _position(rule: Rule, action_id: str) -> int:
    for position, action in enumerate(rule.actions):
        if action["id"] == action_id:
            return position
    raise not_found(f"action {action_id[:64]} in {rule.id}")


def _with_actions(rule: Rule, position: int, *actions: ActionBody) -> Rule:
    """Return the rule with `actions` instead of the action at `position`."""
    return structs.replace(rule, actions=(*rule.actions[:position], *actions, *rule.actions[position + 1 :]))


def _point_into_action(error: ConfigError, position: int) -> Rejection:
    """Map an error to a problem that points into the action of the request, if the mistake is in that action."""
    path = f".actions[{position}]"
    return invalid(error, RULE_PATH + path if path in error.path else RULE_PATH)
