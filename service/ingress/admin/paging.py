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

LimitParameter = Annotated[int, QueryParameter(ge=1, le=LIMIT_MAX, description="items per page")]
After = Annotated[str | None, QueryParameter(max_length=500, description="the `next` of the previous page")]


class Page(Struct, Generic[ItemT], frozen=True):
    """Page of a list, the number of items on all pages, and the name of the last item for the next page."""

    items: Sequence[ItemT]
    total: int
    next: str | None = None


def page_of(items: Sequence[ItemT], name: Callable[[ItemT], str], limit: int, after: str | None) -> Page[ItemT]:
    """Return one page of a list; `name` returns the name of an item.

    Raises:
        Rejection: 409 `page_gone`: The item `after` is gone. Start again.
    """
    start = 0
    if after is not None:
        names = [name(item) for item in items]
        if after not in names:
            raise Rejection(
                409, "page_gone", "The last item of the previous page is gone. Start again without `after`."
            )
        start = names.index(after) + 1
    page = items[start : start + limit]
    has_more = start + limit < len(items)
    return Page(page, len(items), name(page[-1]) if has_more and page else None)


def reject_unknown_query_parameters(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Check the names of the query parameters. A route with `any_query=True` accepts all names.

    Raises:
        ValidationProblem: 422 `invalid`: A parameter is unknown.
    """
    given = connection.query_params
    if not given or handler.opt.get("any_query"):
        return
    known = _parameter_names(handler)
    faults = [
        FieldError(
            f"?{name[:64]}",
            "unknown query parameter",
            f"use one of: {', '.join(known)}" if known else "remove it; the route has no query parameters",
        )
        for name in dict.fromkeys(given)
        if name not in known
    ]
    if faults:
        raise ValidationProblem(faults, "The query has unknown parameters.")


@lru_cache(maxsize=256)
def _parameter_names(handler: BaseRouteHandler) -> tuple[str, ...]:
    """Return the names of the query parameters of a route and of its dependencies."""
    providers = handler.resolve_dependencies()
    fields = dict(handler.parsed_fn_signature.parameters)
    for name in providers.keys() & fields.keys():
        fields |= providers[name].parsed_fn_signature.parameters
    definitions = [(name, field.kwarg_definition) for name, field in fields.items()]
    return tuple(definition.name or name for name, definition in definitions if isinstance(definition, QueryParameter))
