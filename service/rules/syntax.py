"""What stands in a rule file, as structs: `Rule` and the `Condition` tree. Shape only; compiling checks the meaning.

A condition is one struct with every key optional, because a YAML node shows its kind by which key it has (`all`, `any`,
`not`, a quantifier, or `field`). `compiler/conditions.py` refuses nodes with none or two of them.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from service.actions import Identifier
from service.events import ChangeType

RuleType = Literal["purchase_order", "customer"]
OnUnknown = Literal["skip", "error", "match"]


class Condition(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename={"not_": "not"}
):
    """One node of the tree. Exactly one of `all`, `any`, `not`, `any_of`, `all_of`, `none_of`, `count`, `field` is set.

    `where` belongs to the four list words, `min` to `all_of`, `op` with `value` or `ref` to `field` and `count`.
    """

    all: tuple["Condition", ...] | UnsetType = UNSET
    any: tuple["Condition", ...] | UnsetType = UNSET
    not_: "Condition | UnsetType" = UNSET
    any_of: str | UnsetType = UNSET
    all_of: str | UnsetType = UNSET
    none_of: str | UnsetType = UNSET
    count: str | UnsetType = UNSET
    where: "Condition | UnsetType" = UNSET
    min: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    field: str | UnsetType = UNSET
    op: str | UnsetType = UNSET
    value: Any = UNSET
    ref: str | UnsetType = UNSET


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """When a record changes so and looks so, do this. Rules are judged in the order of `sort`, then `id`.

    `events` and `sources` left out mean all; `when` left out means always. `actions` are kept as they stand in the
    file: which words an action has is the action's own matter.
    """

    id: Identifier
    type: RuleType
    name: str = ""
    enabled: bool = True
    sort: int = 0
    events: tuple[ChangeType, ...] = ()
    sources: tuple[str, ...] = ()
    when: Condition | None = None
    on_unknown: OnUnknown = "skip"
    stop: bool = False
    actions: tuple[dict[str, Any], ...] = field(default=())
