"""Pages of lists: `limit` and `after` in, `items` and `next` out. Unknown query parameters are rejected."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated, Any, Generic, TypeVar

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter
from msgspec import Struct

from service.errors import Rejection
from service.ingress.admin.problems import FieldError, ValidationProblem

ItemT = TypeVar("ItemT")

LIMIT_MAX = 200

LimitParameter = Annotated[int, QueryParameter(ge=1, le=LIMIT_MAX, description="items of one page")]
After = Annotated[
    str | None, QueryParameter(max_length=500, description="the page after this item: the last page's `next`")
]


class Page(Struct, Generic[ItemT], frozen=True):
    """One page, how many items there are over all pages, and where the next one begins."""

    items: Sequence[ItemT]
    total: int
    next: str | None = None


def page_of(items: Sequence[ItemT], name: Callable[[ItemT], str], limit: int, after: str | None) -> Page[ItemT]:
    """Cut a page out of a list whose items have names.

    Raises:
        Rejection: 409 `page_gone`: the item that `after` names is there no more, so begin again.
    """
    begin = 0
    if after is not None:
        names = [name(item) for item in items]
        if after not in names:
            raise Rejection(409, "page_gone", "The item that the page before ended with is gone; begin again.")
        begin = names.index(after) + 1
    cut = items[begin : begin + limit]
    more = begin + limit < len(items)
    return Page(cut, len(items), name(cut[-1]) if more and cut else None)


def reject_unknown_query_parameters(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Let a call through whose query its route knows; `any_query=True` beside a route's role takes them all.

    Raises:
        ValidationProblem: 422, it has other words.
    """
    given = connection.query_params
    if not given or handler.opt.get("any_query"):
        return
    known = _parameter_names(handler)
    faults = [
        FieldError(
            f"?{name[:64]}", "is not known here", f"one of {', '.join(known)}" if known else "this takes no query"
        )
        for name in dict.fromkeys(given)
        if name not in known
    ]
    if faults:
        raise ValidationProblem(faults, "The query has words that are not known here.")


@lru_cache(maxsize=256)
def _parameter_names(handler: BaseRouteHandler) -> tuple[str, ...]:
    """Return the names of the query parameters of a route and of its dependencies."""
    providers = handler.resolve_dependencies()
    fields = dict(handler.parsed_fn_signature.parameters)
    for name in providers.keys() & fields.keys():
        fields |= providers[name].parsed_fn_signature.parameters
    definitions = [(name, field.kwarg_definition) for name, field in fields.items()]
    return tuple(definition.name or name for name, definition in definitions if isinstance(definition, QueryParameter))
