"""Client of pack.cloud's own rules: rule types, rules, their actions and their conditions.

These rules run on pack.cloud, on orders and returns; they are not rules of Waybill. Paths that no page prints follow
related ones, and can be overridden under `paths`. Errors are those of `client`.
"""

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from service.platforms.pack_cloud.operation_table import TABLE

_RULE = "/rules/{rule}"
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

    list_rule_types = TABLE.list("rule_type.list", "/rule-types", "Get list of rule types", documented=False)
    get_rule_type = TABLE.get("rule_type.get", "/rule-types/{rule_type}", "Get rule type")

    list_rules = TABLE.list("rule.list", "/rules", "Get list of rules", documented=False)
    create_rule = TABLE.write("rule.create", "POST /rules", "Create rule", body=("new", NewRule), documented=False)
    get_rule = TABLE.get("rule.get", _RULE, "Get rule by id")
    update_rule = TABLE.write("rule.update", "PUT " + _RULE, "Update rule", body=("change", RuleChange))
    delete_rule = TABLE.write("rule.delete", "DELETE " + _RULE, "Delete rule", documented=False)

    list_rule_actions = TABLE.list("rule_action.list", _RULE + "/actions", "Get rule actions", documented=False)
    create_rule_action = TABLE.write(
        "rule_action.create", f"POST {_RULE}/actions", "Create rule action", body=("new", RuleAction), documented=False
    )
    get_rule_action = TABLE.get("rule_action.get", _ACTION, "Get rule action by id", documented=False)
    update_rule_action = TABLE.write(
        "rule_action.update", "PUT " + _ACTION, "Update rule action", body=("change", RuleAction), documented=False
    )
    delete_rule_action = TABLE.write("rule_action.delete", "DELETE " + _ACTION, "Delete rule action", documented=False)

    list_rule_conditions = TABLE.list(
        "rule_condition.list", _RULE + "/conditions", "Get rule conditions", documented=False
    )
    create_rule_condition = TABLE.write(
        "rule_condition.create", f"POST {_RULE}/conditions", "Create rule condition", body=("new", RuleCondition)
    )
    get_rule_condition = TABLE.get("rule_condition.get", _CONDITION, "Get rule condition by id", documented=False)
    update_rule_condition = TABLE.write(
        "rule_condition.update",
        "PUT " + _CONDITION,
        "Update rule condition",
        body=("change", RuleCondition),
        documented=False,
    )
    delete_rule_condition = TABLE.write(
        "rule_condition.delete", "DELETE " + _CONDITION, "Delete rule condition", documented=False
    )
