"""The words of a query: one that a route does not know is refused, since a misspelt filter would list everything."""

from functools import lru_cache
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter

from service.ingress.admin.problems import FieldError, ValidationProblem


def reject_unknown_query_parameters(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Let a call through whose query its route knows; `any_query=True` beside a route's role takes them all.

    Raises:
        ValidationProblem: 422, it has other words.
    """
    given = connection.query_params
    if not given or handler.opt.get("any_query"):
        return
    known = _words(handler)
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
def _words(handler: BaseRouteHandler) -> tuple[str, ...]:
    parameters = handler.parsed_fn_signature.parameters.items()
    kinds = [(name, field.kwarg_definition) for name, field in parameters]
    return tuple(kind.name or name for name, kind in kinds if isinstance(kind, QueryParameter))
