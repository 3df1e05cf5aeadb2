"""/rules/{rule}/actions: what a rule does, one action at a time, by its id within the rule."""

from typing import Annotated, Any

from litestar import Controller, Response, delete, get, post, put
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import structs

from service.errors import ConfigError, Rejection
from service.ingress.admin.dependencies import Caller, Dependencies
from service.ingress.admin.paging import After, LimitParameter, Page, page_of
from service.ingress.admin.problems import id_mismatch, invalid, not_found
from service.ingress.admin.rule_changes import (
    RULE_PATH,
    ErrorMapper,
    RuleChangeRequest,
    change_rule,
    current_rules,
    find_rule,
)
from service.ingress.admin.rules import IfMatch, Note, rule_headers
from service.rules import Rule

ActionBody = dict[str, Any]
"""An action as it stands in a rule: `id`, `do` and the words of that action."""


class RuleActions(Controller):
    """Rule actions: list, create, get, update, delete. They run in their order; the ETag is the rule's."""

    path = "/rules/{rule_id:str}/actions"
    tags = ("Rules",)

    @get("/", role="viewer")
    async def list_actions(
        self,
        rule_id: FromPath[str],
        parts: Dependencies,
        do: Annotated[str | None, QueryParameter(max_length=100, description="actions of this kind, as http")] = None,
        limit: LimitParameter = 50,
        after: After = None,
    ) -> Response[Page[ActionBody]]:
        """List the actions in their order."""
        version, document = await current_rules(parts)
        rule = find_rule(document, rule_id)
        found = [words for words in rule.actions if do in {None, words["do"]}]
        page = page_of(found, lambda words: str(words["id"]), limit, after)
        return Response(page, headers=rule_headers(version, rule))

    @get("/{action_id:str}", role="viewer")
    async def get_action(
        self, rule_id: FromPath[str], action_id: FromPath[str], parts: Dependencies
    ) -> Response[ActionBody]:
        """Give one action."""
        version, document = await current_rules(parts)
        rule = find_rule(document, rule_id)
        return Response(rule.actions[_place(rule, action_id)], headers=rule_headers(version, rule))

    @post("/", role="operator")
    async def create_action(
        self,
        rule_id: FromPath[str],
        data: JSONBody[ActionBody],
        parts: Dependencies,
        caller: Caller,
        if_match: IfMatch = None,
        note: Note = "",
    ) -> Response[ActionBody]:
        """Add an action behind the others."""
        places: list[int] = []
        kept: list[Rule] = []

        def change(rule: Rule) -> Rule:
            places[:] = [len(rule.actions)]
            kept[:] = [structs.replace(rule, actions=(*rule.actions, data))]
            return kept[0]

        request = RuleChangeRequest(caller, rule_id, if_match, "action.created", note)
        version = await change_rule(parts, request, change, _pointing(places))
        headers = rule_headers(version, kept[0]) | {"location": f"/api/v1/rules/{rule_id}/actions/{data['id']}"}
        return Response(data, headers=headers)

    @put("/{action_id:str}", role="operator")
    async def update_action(
        self,
        rule_id: FromPath[str],
        action_id: FromPath[str],
        data: JSONBody[ActionBody],
        parts: Dependencies,
        caller: Caller,
        if_match: IfMatch = None,
        note: Note = "",
    ) -> Response[ActionBody]:
        """Replace an action as a whole. Its id stays: it is part of the identity of what it did."""
        if data.get("id") != action_id:
            raise id_mismatch(action_id)
        places: list[int] = []
        kept: list[Rule] = []

        def change(rule: Rule) -> Rule:
            places[:] = [place := _place(rule, action_id)]
            actions = (*rule.actions[:place], data, *rule.actions[place + 1 :])
            kept[:] = [structs.replace(rule, actions=actions)]
            return kept[0]

        request = RuleChangeRequest(caller, rule_id, if_match, "action.updated", note)
        version = await change_rule(parts, request, change, _pointing(places))
        return Response(data, headers=rule_headers(version, kept[0]))

    @delete("/{action_id:str}", role="operator", status_code=204)
    async def delete_action(
        self,
        rule_id: FromPath[str],
        action_id: FromPath[str],
        parts: Dependencies,
        caller: Caller,
        if_match: IfMatch = None,
        note: Note = "",
    ) -> None:
        """Take an action out. Effects that were decided stay decided."""

        def change(rule: Rule) -> Rule:
            place = _place(rule, action_id)
            return structs.replace(rule, actions=(*rule.actions[:place], *rule.actions[place + 1 :]))

        await change_rule(parts, RuleChangeRequest(caller, rule_id, if_match, "action.deleted", note), change)


def _place(rule: Rule, action_id: str) -> int:
    for place, words in enumerate(rule.actions):
        if words["id"] == action_id:
            return place
    raise not_found(f"action {action_id[:64]} in {rule.id}")


def _pointing(places: list[int]) -> ErrorMapper:
    """Point into the action that was sent, where the mistake lies in it."""

    def place(error: ConfigError) -> Rejection:
        return invalid(
            error, f"{RULE_PATH}.actions[{places[0]}]" if f".actions[{places[0]}]" in error.path else RULE_PATH
        )

    return place
