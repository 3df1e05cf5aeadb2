"""Syntax of a rule file as structs: `Rule` and the `Condition` tree. The compiler checks the meaning.

A condition is one struct in which every key is optional, because the key determines the kind of a node (`all`, `any`,
`not`, a quantifier, or `field`). `compiler/conditions.py` rejects nodes with no or several such keys.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from service.actions import Identifier
from service.events import ChangeType
from service.rules.limits import LOOKUP_ELEMENTS_MAX

RuleType = Annotated[
    str,
    Meta(
        pattern=r"^[a-z][a-z0-9_]{0,39}\Z",
        description="a record kind: purchase_order, customer, or one that waybill.yaml declares under records:",
    ),
]
OnUnknown = Literal["skip", "error", "match"]
OnMissing = Literal["retry", "unknown"]
Cast = Literal["decimal", "money", "moment"]


class Condition(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"not_": "not", "as_": "as"},
):
    """One node of a condition.

    Exactly one of `all`, `any`, `not`, `any_of`, `all_of`, `none_of`, `count`, `field` is set. `where` belongs to
    `any_of`, `all_of`, `none_of` and `count`. `min` belongs to `all_of`. `op` belongs to `field` and `count`, with
    `value` or `ref`. `as` belongs to `field`: it casts untyped values of `field` and `ref`.
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
    as_: Cast | UnsetType = UNSET


class Lookup(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A further record that a rule reads. `id` is a template of fields of the event's own record.

    Without `platform` the record is of the account of the event. With `each`, a list of the record, there is one record
    for each element, and `id` reads fields of the element. `on_missing` says what follows if there is no record.
    """

    kind: RuleType
    id: Annotated[str, Meta(min_length=1)]
    platform: Annotated[str, Meta(min_length=1)] | UnsetType = UNSET
    each: str | UnsetType = UNSET
    elements_max: Annotated[int, Meta(ge=1, le=LOOKUP_ELEMENTS_MAX)] | UnsetType = UNSET
    on_missing: OnMissing = "retry"


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename={"with_": "with"}):
    """Event filter, further records, condition and actions. Rules are evaluated in the order of `sort`, then `id`.

    Without `events` or `sources` the rule applies to all. Without `when` it always matches. `actions` are plain data
    here; the compiler decodes each with the struct of its action.
    """

    id: Identifier
    type: RuleType
    name: str = ""
    enabled: bool = True
    sort: int = 0
    events: tuple[ChangeType, ...] = ()
    sources: tuple[str, ...] = ()
    with_: dict[str, Lookup] = {}
    when: Condition | None = None
    on_unknown: OnUnknown = "skip"
    stop: bool = False
    actions: tuple[dict[str, Any], ...] = field(default=())
