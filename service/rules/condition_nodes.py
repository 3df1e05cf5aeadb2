"""The nodes of a condition tree, each by an id: what the admin API lists, adds, replaces, removes. Pure.

An id is the node's path as a trace names it, with dots only: the root is `when`, its second child `when.all.1`, the
condition on a list's elements `when.all.1.any_of.where`. Ids of siblings move when a node between them goes, so whoever
changes a tree shows that they know its present state.
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
    """One node with everything below it. `parent` is None at the root, `position` its place among its siblings."""

    id: str
    parent: str | None
    position: int
    word: NodeKind
    condition: Condition


class NodeNotFound(LookupError):
    """No node of that id."""


class TooManyChildren(Exception):
    """The parent takes no (further) child."""


def list_nodes(when: Condition | None) -> tuple[ConditionNode, ...]:
    """Every node, parents before their children, in written order."""
    return tuple(_walk(when, ROOT, None, 0)) if when is not None else ()


def find_node(when: Condition | None, node_id: str) -> ConditionNode:
    """Find one node.

    Raises:
        NodeNotFound: there is none of that id.
    """
    for node in list_nodes(when):
        if node.id == node_id:
            return node
    raise NodeNotFound(node_id)


def replace_node(when: Condition | None, node_id: str, condition: Condition) -> Condition:
    """Put another condition in a node's place.

    Raises:
        NodeNotFound: there is none of that id.
    """
    found = find_node(when, node_id)
    changed = _change(_root(when), _steps(found.id), lambda _: condition)
    assert changed is not None  # only a removal gives None
    return changed


def remove_node(when: Condition | None, node_id: str) -> Condition | None:
    """Take a node out, with everything below it; without the root nothing is left.

    Raises:
        NodeNotFound: there is none of that id.
        TooManyChildren: its parent cannot do without it.
    """
    found = find_node(when, node_id)
    if found.parent is not None and find_node(when, found.parent).word == "not":
        raise TooManyChildren("a not has exactly one condition below it")
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
            raise TooManyChildren("the rule has a condition; name it as parent, or replace it")
        return condition, ROOT
    found = find_node(when, parent)
    if found.word in BRANCHES:
        children: tuple[Condition, ...] = getattr(found.condition, found.word)
        at = len(children) if position is None else min(position, len(children))
        grown = structs.replace(found.condition, **{found.word: (*children[:at], condition, *children[at:])})
        return replace_node(when, parent, grown), f"{parent}.{found.word}.{at}"
    if found.word == "count" and found.condition.where is UNSET:
        grown = structs.replace(found.condition, where=condition)
        return replace_node(when, parent, grown), f"{parent}.count.where"
    raise TooManyChildren(f"{parent} is a {found.word} and takes no further condition")


def node_kind(condition: Condition) -> NodeKind:
    """The word that makes a node what it is; of a tree that was compiled."""
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
    """Apply a change at the end of `steps`; the path down to it is known to be there."""
    if not steps:
        return change(condition)
    word, *rest = steps
    if word in BRANCHES:
        place = int(rest[0])
        children: tuple[Condition, ...] = getattr(condition, word)
        changed = _change(children[place], rest[1:], change)
        kept = () if changed is None else (changed,)
        return structs.replace(condition, **{word: (*children[:place], *kept, *children[place + 1 :])})
    if word == "not":
        return structs.replace(condition, not_=_below(condition.not_, rest, change))
    return structs.replace(condition, where=_below(condition.where, rest[1:], change))


def _below(child: object, steps: list[str], change: Change) -> object:
    assert isinstance(child, Condition)  # the path is known to be there
    changed = _change(child, steps, change)
    return UNSET if changed is None else changed


def _steps(node_id: str) -> list[str]:
    return node_id.split(".")[1:]


def _root(when: Condition | None) -> Condition:
    assert when is not None  # a node was found in it
    return when
