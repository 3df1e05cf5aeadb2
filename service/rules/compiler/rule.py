"""Compilation of a rule: its condition becomes a closure, its actions become renderers."""

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Struct, structs

from service.actions import Action, RetrySafety, TemplateRenderer
from service.config.decoding import decode_config, valid_parts
from service.errors import ConfigError, ConfigErrors
from service.mistakes import Mistakes, is_consequence
from service.records import RECORDS, RecordTypes
from service.rules.compiler.conditions import Evaluator, NodeLimit, NodePath
from service.rules.compiler.lookups import check_used, compile_lookups
from service.rules.compiler.quantifiers import compile_condition
from service.rules.compiler.templates import Template
from service.rules.delivery_fields import DELIVERY
from service.rules.fields import Field, FieldScope
from service.rules.limits import ACTIONS_MAX
from service.rules.rule_records import record_type
from service.rules.secret_checks import find_secrets
from service.rules.syntax import Rule

MISSING_TEXT = "https://unknown.invalid/"
"""Stands for a missing text of an action, to find its other mistakes. It is valid as a text and as a URL."""


ACTION_ALIASES = {
    "webhook": "http", "request": "http", "post": "http", "call": "http", "fetch": "http", "print": "log",
    "event": "emit", "stream": "publish", "redis": "publish",
}  # fmt: skip
"""Names of actions in other tools."""


class CompiledAction(Struct, frozen=True):
    """One action of a rule. `render` returns its inputs for a scope."""

    id: str
    do: str
    repeat: RetrySafety
    render: TemplateRenderer
    ordered: bool
    latest_only: bool


class CompiledRule(Struct, frozen=True):
    """A compiled rule.

    Without `when` it always matches. `previous_fields` are the fields that it compares with `previous`, by path.
    `nodes` is the number of nodes of its condition and of its actions. `reads_delivery` tells whether it reads the
    payload of the delivery.
    """

    rule: Rule
    when: Evaluator | None
    actions: tuple[CompiledAction, ...]
    previous_fields: dict[str, Field]
    nodes: int
    reads_delivery: bool = False


def actions_by_name(actions: Sequence[type[Action]]) -> dict[str, type[Action]]:
    """Return the actions by their type, the value of `do`."""
    return {str(action.__struct_config__.tag): action for action in actions}


def compile_rule(
    rule: Rule, actions: Mapping[str, type[Action]], at: str, records: RecordTypes = RECORDS
) -> CompiledRule:
    """Compile one rule. `at` is the path of the rule, for errors.

    Raises:
        ConfigError: there is a mistake in its condition or its actions.
    """
    fields, mistakes = FieldScope(record_type(rule.type, records, at), {}), Mistakes()
    with mistakes.collect():
        fields = structs.replace(fields, lookups=compile_lookups(rule, fields, records, at))
    in_lookups = len(mistakes.found)
    when, limit = None, NodeLimit()
    if rule.when is not None:
        with mistakes.collect():
            when = compile_condition(rule.when, fields, NodePath(at, "when", limit)).run
    if len(rule.actions) > ACTIONS_MAX:
        mistakes.add(ConfigError(f"{at}.actions", f"more than {ACTIONS_MAX} actions", "write a second rule"))
    compiled: list[CompiledAction] = []
    for index, action in enumerate(rule.actions[:ACTIONS_MAX]):
        with mistakes.collect():
            compiled.append(_compile_action(action, actions, fields, f"{at}.actions[{index}]"))
    with mistakes.collect():
        reject_duplicates(
            [str(action.get("id", index)) for index, action in enumerate(rule.actions)], f"{at}.actions", "action"
        )
    reported = {each.path for each in mistakes.found}
    for mistake in find_secrets(rule, at):
        if mistake.path not in reported:
            mistakes.add(mistake)
    if in_lookups:  # the fields of the look-ups are not known
        mistakes.found[in_lookups:] = [each for each in mistakes.found[in_lookups:] if not _names(each, rule.with_)]
    mistakes.raise_all()
    check_used(fields.lookups, fields, at)
    nodes, reads_delivery = limit.nodes + len(compiled), DELIVERY in fields.roots
    return CompiledRule(rule, when, tuple(compiled), fields.previous_fields, nodes, reads_delivery)


def _names(mistake: ConfigError, lookups: Collection[str]) -> bool:
    """Return whether the reason of a mistake names a look-up or a field of it: `'supplier'`, `supplier.id`."""
    return not set(re.findall(r"\b([a-z][a-z0-9_]*)(?=[.'])", mistake.reason)).isdisjoint(lookups)


def reject_duplicates(ids: Sequence[str], at: str, kind: str) -> None:
    """Check that ids are unique. `kind` is the kind of their owners, for errors.

    Raises:
        ConfigErrors: ids are duplicates; each path is that of the later one.
    """
    known, mistakes = set[str](), Mistakes()
    for index, found in enumerate(ids):
        if found in known:
            fix = f"give each {kind} its own id"
            mistakes.add(ConfigError(f"{at}[{index}].id", f"duplicate {kind} id {found}", fix))
        known.add(found)
    mistakes.raise_all()


def _compile_action(
    data: Mapping[str, Any], actions: Mapping[str, type[Action]], fields: FieldScope, at: str
) -> CompiledAction:
    action_type = data.get("do")
    if not isinstance(action_type, str) or action_type not in actions:
        lower = str(action_type)[:64].lower()
        alias = ACTION_ALIASES.get(lower)
        near = [alias] if alias in actions else difflib.get_close_matches(lower, actions, 1)
        fix = f"did you mean {near[0]}?" if near else f"use one of {', '.join(sorted(actions))}"
        raise ConfigError(f"{at}.do", f"no action {str(action_type)[:64]!r}", fix)
    struct, mistakes = actions[action_type], Mistakes()
    with mistakes.collect():
        return _compile_templates(decode_config(data, struct, at), action_type, fields, at)
    _find_template_mistakes(data, struct, fields, at, mistakes)
    raise ConfigErrors(mistakes.found)


def _compile_templates(action: Action, action_type: str, fields: FieldScope, at: str) -> CompiledAction:
    if action.latest_only and not action.ordered:
        raise ConfigError(f"{at}.latest_only", "needs an order", "remove `ordered: false` or `latest_only`")
    mistakes = Mistakes()
    with mistakes.collect():
        render = action.compile(Template(fields, mistakes))
        if not mistakes.found:
            return CompiledAction(
                action.id, action_type, action.retry_safety, render, action.ordered, action.latest_only
            )
    raise ConfigErrors([ConfigError(f"{at}.{each.path}", each.reason, each.fix) for each in mistakes.found])


def _find_template_mistakes(
    data: Mapping[str, Any], struct: type[Action], fields: FieldScope, at: str, mistakes: Mistakes
) -> None:
    """Find the mistakes in the templates of an action that cannot be decoded."""
    wrong = {mistake.path for mistake in mistakes.found}
    missing = {field.encode_name: MISSING_TEXT for field in msgspec.structs.fields(struct) if field.required}
    given = {"id": "unknown"} if f"{at}.id" in wrong else {}
    parts = valid_parts({**missing, **data, **given}, struct)
    if parts is UNSET:
        return
    found = Mistakes()
    with found.collect():
        _compile_templates(msgspec.convert(parts, struct), "", fields, at)
    for mistake in found.found:
        if not is_consequence(mistake, wrong):
            mistakes.add(mistake)


def shape_error(error: msgspec.ValidationError, at: str) -> ConfigError:
    """Convert a decoding error of msgspec into a ConfigError whose path starts with `at`."""
    reason, _, inside = str(error).partition(" - at `$")
    path = at + inside.removesuffix("`")
    return ConfigError(path, reason, "correct it as docs/reference/rules.md shows")
