"""Client of pack.cloud's own rules: rule types, rules, their actions and their conditions.

These rules run on pack.cloud, on orders and returns; they are not rules of Waybill. Paths that no page prints follow
related ones, and can be overridden under `paths`. Errors are those of `client`.
"""

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from service.platforms.api.coercion import JsonObject
from service.platforms.api.declared_operations import operation
from service.platforms.api.operations import NO_CONTEXT, PlatformApi, ResultPage, WriteResult
from service.platforms.base import CallContext
from service.platforms.pack_cloud.records import query_of, read_one, read_page

_ROOT = "/organizations/{organization}"
_RULE = _ROOT + "/rules/{rule}"
_ACTION = _RULE + "/actions/{action}"
_CONDITION = _RULE + "/conditions/{condition}"


class NewRule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Fields of a new rule; `type` is a rule type, such as `order`; `sort` is its position, lowest first."""

    name: str
    type: str
    enabled: bool | UnsetType = UNSET
    sort: int | UnsetType = UNSET


class RuleChange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Changed fields of a rule."""

    name: str | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    sort: int | UnsetType = UNSET


class RuleAction(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Action of a rule: the `code` of its type, and the values of its fields. Further fields are not documented."""

    code: str
    values: dict[str, Any] | UnsetType = UNSET


class RuleCondition(Struct, frozen=True, kw_only=True):
    """Condition of a rule: the `code` of its type, an operator such as `eq`, and the value as text."""

    code: str
    operator: str
    value: str


class RulesClient:
    """Rule operations of one organization."""

    def __init__(self, endpoints: PlatformApi) -> None:
        self._endpoints = endpoints

    @operation("rule_type.list", "GET", _ROOT + "/rule-types", "Get list of rule types", documented=False)
    async def list_rule_types(self, page: str | None = None, context: CallContext = NO_CONTEXT) -> ResultPage:
        """GET …/rule-types: code, name, actions, conditions. Page "Get list of rule types"."""
        return await self._list("rule_type.list", {}, page, context)

    @operation("rule_type.get", "GET", _ROOT + "/rule-types/{rule_type}", "Get rule type")
    async def get_rule_type(self, rule_type: str, context: CallContext = NO_CONTEXT) -> JsonObject | None:
        """GET …/rule-types/{rule_type}, by its code. Page "Get rule type"."""
        return await self._get("rule_type.get", {"rule_type": rule_type}, context)

    @operation("rule.list", "GET", _ROOT + "/rules", "Get list of rules", documented=False)
    async def list_rules(self, page: str | None = None, context: CallContext = NO_CONTEXT) -> ResultPage:
        """GET …/rules: id, name, enabled, sort, type. Page "Get list of rules"."""
        return await self._list("rule.list", {}, page, context)

    @operation("rule.create", "POST", _ROOT + "/rules", "Create rule", documented=False)
    async def create_rule(self, new: NewRule, context: CallContext = NO_CONTEXT) -> WriteResult:
        """POST …/rules. Page "Create rule"."""
        return await self._endpoints.write("rule.create", context, body=new)

    @operation("rule.get", "GET", _RULE, "Get rule by id")
    async def get_rule(self, rule: str, context: CallContext = NO_CONTEXT) -> JsonObject | None:
        """GET …/rules/{rule}. Page "Get rule by id"."""
        return await self._get("rule.get", {"rule": rule}, context)

    @operation("rule.update", "PUT", _RULE, "Update rule")
    async def update_rule(self, rule: str, change: RuleChange, context: CallContext = NO_CONTEXT) -> WriteResult:
        """PUT …/rules/{rule}. Page "Update rule"."""
        return await self._endpoints.write("rule.update", context, ids={"rule": rule}, body=change)

    @operation("rule.delete", "DELETE", _RULE, "Delete rule", documented=False)
    async def delete_rule(self, rule: str, context: CallContext = NO_CONTEXT) -> WriteResult:
        """DELETE …/rules/{rule}. Page "Delete rule"."""
        return await self._endpoints.write("rule.delete", context, ids={"rule": rule})

    @operation("rule_action.list", "GET", _RULE + "/actions", "Get rule actions", documented=False)
    async def list_rule_actions(
        self, rule: str, page: str | None = None, context: CallContext = NO_CONTEXT
    ) -> ResultPage:
        """GET …/rules/{rule}/actions. Page "Get rule actions"."""
        return await self._list("rule_action.list", {"rule": rule}, page, context)

    @operation("rule_action.create", "POST", _RULE + "/actions", "Create rule action", documented=False)
    async def create_rule_action(self, rule: str, new: RuleAction, context: CallContext = NO_CONTEXT) -> WriteResult:
        """POST …/rules/{rule}/actions. Page "Create rule action"."""
        return await self._endpoints.write("rule_action.create", context, ids={"rule": rule}, body=new)

    @operation("rule_action.get", "GET", _ACTION, "Get rule action by id", documented=False)
    async def get_rule_action(self, rule: str, action: str, context: CallContext = NO_CONTEXT) -> JsonObject | None:
        """GET …/rules/{rule}/actions/{action}. Page "Get rule action by id"."""
        return await self._get("rule_action.get", {"rule": rule, "action": action}, context)

    @operation("rule_action.update", "PUT", _ACTION, "Update rule action", documented=False)
    async def update_rule_action(
        self, rule: str, action: str, change: RuleAction, context: CallContext = NO_CONTEXT
    ) -> WriteResult:
        """PUT …/rules/{rule}/actions/{action}. Page "Update rule action"."""
        ids = {"rule": rule, "action": action}
        return await self._endpoints.write("rule_action.update", context, ids=ids, body=change)

    @operation("rule_action.delete", "DELETE", _ACTION, "Delete rule action", documented=False)
    async def delete_rule_action(self, rule: str, action: str, context: CallContext = NO_CONTEXT) -> WriteResult:
        """DELETE …/rules/{rule}/actions/{action}. Page "Delete rule action"."""
        return await self._endpoints.write("rule_action.delete", context, ids={"rule": rule, "action": action})

    @operation("rule_condition.list", "GET", _RULE + "/conditions", "Get rule conditions", documented=False)
    async def list_rule_conditions(
        self, rule: str, page: str | None = None, context: CallContext = NO_CONTEXT
    ) -> ResultPage:
        """GET …/rules/{rule}/conditions: id, code, operator, value. Page "Get rule conditions"."""
        return await self._list("rule_condition.list", {"rule": rule}, page, context)

    @operation("rule_condition.create", "POST", _RULE + "/conditions", "Create rule condition")
    async def create_rule_condition(
        self, rule: str, new: RuleCondition, context: CallContext = NO_CONTEXT
    ) -> WriteResult:
        """POST …/rules/{rule}/conditions. Page "Create rule condition"."""
        return await self._endpoints.write("rule_condition.create", context, ids={"rule": rule}, body=new)

    @operation("rule_condition.get", "GET", _CONDITION, "Get rule condition by id", documented=False)
    async def get_rule_condition(
        self, rule: str, condition: str, context: CallContext = NO_CONTEXT
    ) -> JsonObject | None:
        """GET …/rules/{rule}/conditions/{condition}. Page "Get rule condition by id"."""
        return await self._get("rule_condition.get", {"rule": rule, "condition": condition}, context)

    @operation("rule_condition.update", "PUT", _CONDITION, "Update rule condition", documented=False)
    async def update_rule_condition(
        self, rule: str, condition: str, change: RuleCondition, context: CallContext = NO_CONTEXT
    ) -> WriteResult:
        """PUT …/rules/{rule}/conditions/{condition}. Page "Update rule condition"."""
        ids = {"rule": rule, "condition": condition}
        return await self._endpoints.write("rule_condition.update", context, ids=ids, body=change)

    @operation("rule_condition.delete", "DELETE", _CONDITION, "Delete rule condition", documented=False)
    async def delete_rule_condition(self, rule: str, condition: str, context: CallContext = NO_CONTEXT) -> WriteResult:
        """DELETE …/rules/{rule}/conditions/{condition}. Page "Delete rule condition"."""
        return await self._endpoints.write("rule_condition.delete", context, ids={"rule": rule, "condition": condition})

    async def _list(self, name: str, ids: dict[str, str], page: str | None, context: CallContext) -> ResultPage:
        return await self._endpoints.read(name, context, read_page, ids=ids, query=query_of(page or ""))

    async def _get(self, name: str, ids: dict[str, str], context: CallContext) -> JsonObject | None:
        return await self._endpoints.read(name, context, read_one, ids=ids)
