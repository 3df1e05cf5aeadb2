"""Turns a rule as written into a rule that can be judged: its condition as a closure, its actions as renderers."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from service.actions import Action, RetrySafety, TemplateRenderer
from service.config.decoding import decode_config
from service.errors import ConfigError
from service.rules.compiler.conditions import Evaluator, NodeLimit, NodePath
from service.rules.compiler.quantifiers import compile_condition
from service.rules.compiler.templates import Template
from service.rules.fields import Field, FieldScope, record_type
from service.rules.limits import ACTIONS_MAX
from service.rules.syntax import Rule


class CompiledAction(Struct, frozen=True):
    """One action of a rule; `render` gives its inputs from a scope."""

    id: str
    do: str
    repeat: RetrySafety
    render: TemplateRenderer


class CompiledRule(Struct, frozen=True):
    """A rule that can be judged; `when` None means always. `asked` is what it asks of `previous`, by path."""

    rule: Rule
    when: Evaluator | None
    actions: tuple[CompiledAction, ...]
    asked: dict[str, Field]


def actions_by_name(actions: Sequence[type[Action]]) -> dict[str, type[Action]]:
    """The actions by the word that stands under `do`."""
    return {str(action.__struct_config__.tag): action for action in actions}


def compile_rule(rule: Rule, actions: Mapping[str, type[Action]], at: str) -> CompiledRule:
    """Compile one rule; `at` is what errors call it.

    Raises:
        ConfigError: any mistake in its condition or its actions.
    """
    place = FieldScope(record_type(rule.type), {})
    when = None
    if rule.when is not None:
        when = compile_condition(rule.when, place, NodePath(at, "when", NodeLimit())).run
    if len(rule.actions) > ACTIONS_MAX:
        raise ConfigError(f"{at}.actions", f"more than {ACTIONS_MAX} actions", "write a second rule")
    compiled = tuple(
        _compile_action(words, actions, place, f"{at}.actions[{index}]") for index, words in enumerate(rule.actions)
    )
    reject_duplicates([action.id for action in compiled], f"{at}.actions", "action")
    return CompiledRule(rule, when, compiled, place.asked)


def reject_duplicates(ids: Sequence[str], at: str, word: str) -> None:
    """Refuse an id that stands twice.

    Raises:
        ConfigError: naming the second one.
    """
    seen: set[str] = set()
    for index, found in enumerate(ids):
        if found in seen:
            raise ConfigError(f"{at}[{index}].id", f"the {word} {found} stands twice", "give each its own id")
        seen.add(found)


def _compile_action(
    words: Mapping[str, Any], actions: Mapping[str, type[Action]], place: FieldScope, at: str
) -> CompiledAction:
    do = words.get("do")
    if not isinstance(do, str) or do not in actions:
        near = difflib.get_close_matches(str(do)[:64], actions, 1)
        fix = f"did you mean {near[0]}?" if near else f"take one of {', '.join(sorted(actions))}"
        raise ConfigError(f"{at}.do", f"no action {str(do)[:64]!r}", fix)
    kind = actions[do]
    action: Action = decode_config(words, kind, at)
    try:
        return CompiledAction(action.id, do, kind.repeat, action.compile(Template(place)))
    except ConfigError as error:
        raise ConfigError(f"{at}.{error.path}", error.reason, error.fix) from None


def shape_error(error: msgspec.ValidationError, at: str) -> ConfigError:
    """Tell a decoding error with our path in place of msgspec's `$`."""
    reason, _, inside = str(error).partition(" - at `$")
    path = at + inside.removesuffix("`")
    return ConfigError(path, reason, "correct it as docs/rules.md shows")
