"""Nodes of a condition tree by id, for the admin API: list, add, replace and remove. Pure.

An id is the path of the node in a trace, with dots only. The root is `when`, its second child `when.all.1`, the
condition on list elements `when.all.1.any_of.where`. Removing a node changes the ids of its later siblings. So callers
must prove that they know the current state of the tree.
"""

from collections.abc import Callable, Iterator
from typing import Literal

from msgspec import UNSET, Struct, structs

from service.rules.syntax import Condition

ROOT = "when"
BRANCHES = ("all", "any")
LISTS = ("any_of", "all_of", "none_of", "count")

NodeKind = Literal["all", "any", "not", "any_of", "all_of", "none_of", "count", "field"]
Change = Callable[[Condition], Condition | None]


class ConditionNode(Struct, frozen=True):
    """One node with its subtree. `parent` is None at the root. `position` is the index among the siblings."""

    id: str
    parent: str | None
    position: int
    word: NodeKind
    condition: Condition


class NodeNotFound(LookupError):
    """There is no node with this id."""


class TooManyChildren(Exception):
    """The parent accepts no child, or no further child."""


def list_nodes(when: Condition | None) -> tuple[ConditionNode, ...]:
    """Return every node, parents before their children, in the order of the rule."""
    return tuple(_walk(when, ROOT, None, 0)) if when is not None else ()


def find_node(when: Condition | None, node_id: str) -> ConditionNode:
    """Find one node.

    Raises:
        NodeNotFound: there is no node with this id.
    """
    for node in list_nodes(when):
        if node.id == node_id:
            return node
    raise NodeNotFound(node_id)


def replace_node(when: Condition | None, node_id: str, condition: Condition) -> Condition:
    """Replace a node by another condition.

    Raises:
        NodeNotFound: there is no node with this id.
    """
    found = find_node(when, node_id)
    changed = _change(_root(when), _steps(found.id), lambda _: condition)
    assert changed is not None  # only a removal returns None
    return changed


def remove_node(when: Condition | None, node_id: str) -> Condition | None:
    """Remove a node with its subtree. Return None if the node was the root.

    Raises:
        NodeNotFound: there is no node with this id.
        TooManyChildren: its parent requires it.
    """
    found = find_node(when, node_id)
    if found.parent is not None and find_node(when, found.parent).word == "not":
        raise TooManyChildren("a not node requires exactly one condition")
    return _change(_root(when), _steps(found.id), lambda _: None)


def add_node(
    when: Condition | None, parent: str | None, position: int | None, condition: Condition
) -> tuple[Condition, str]:
    """Put a condition below `parent`, at the end where there is no `position`; give the tree and the new node's id.

    Raises:
        NodeNotFound: there is no such parent.
        TooManyChildren: it takes no (further) child; without a parent, there is a root already.
    """
    if parent is None:
        if when is not None:
            raise TooManyChildren("the rule has a condition; use it as parent, or replace it")
        return condition, ROOT
    found = find_node(when, parent)
    if found.word in BRANCHES:
        children: tuple[Condition, ...] = getattr(found.condition, found.word)
        at = len(children) if position is None else min(position, len(children))
        extended = structs.replace(found.condition, **{found.word: (*children[:at], condition, *children[at:])})
        return replace_node(when, parent, extended), f"{parent}.{found.word}.{at}"
    if found.word == "count" and found.condition.where is UNSET:
        extended = structs.replace(found.condition, where=condition)
        return replace_node(when, parent, extended), f"{parent}.count.where"
    raise TooManyChildren(f"{parent} is a node of kind {found.word} and accepts no further condition")


def node_kind(condition: Condition) -> NodeKind:
    """Return the kind of a node of a compiled tree."""
    for word in (*BRANCHES, *LISTS):
        if getattr(condition, word) is not UNSET:
            return word
    return "not" if condition.not_ is not UNSET else "field"


def _walk(condition: Condition, at: str, parent: str | None, position: int) -> Iterator[ConditionNode]:
    word = node_kind(condition)
    yield ConditionNode(at, parent, position, word, condition)
    if word in BRANCHES:
        for index, child in enumerate(getattr(condition, word)):
            yield from _walk(child, f"{at}.{word}.{index}", at, index)
    elif word == "not" and condition.not_ is not UNSET:
        yield from _walk(condition.not_, f"{at}.not", at, 0)
    elif condition.where is not UNSET:
        yield from _walk(condition.where, f"{at}.{word}.where", at, 0)


def _change(condition: Condition, steps: list[str], change: Change) -> Condition | None:
    """Apply a change to the node at the end of `steps`. The node must exist."""
    if not steps:
        return change(condition)
    word, *rest = steps
    if word in BRANCHES:
        index = int(rest[0])
        children: tuple[Condition, ...] = getattr(condition, word)
        changed = _change(children[index], rest[1:], change)
        replacement = () if changed is None else (changed,)
        return structs.replace(condition, **{word: (*children[:index], *replacement, *children[index + 1 :])})
    if word == "not":
        return structs.replace(condition, not_=_change_child(condition.not_, rest, change))
    return structs.replace(condition, where=_change_child(condition.where, rest[1:], change))


def _change_child(child: object, steps: list[str], change: Change) -> object:
    assert isinstance(child, Condition)  # the caller found the node
    changed = _change(child, steps, change)
    return UNSET if changed is None else changed


def _steps(node_id: str) -> list[str]:
    return node_id.split(".")[1:]


def _root(when: Condition | None) -> Condition:
    assert when is not None  # a node was found in it
    return when
