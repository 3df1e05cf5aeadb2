"""Checks of requests to the admin API beyond those of Litestar, which converts text and numbers to other types.

A query parameter is known, given once, and in the documented form. A body has the documented types, and a route
without a body gets none.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, get_args

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter
from litestar.typing import FieldDefinition

from service.ingress.admin.problems import FieldError, ValidationProblem, body_problem

_FORMS = (
    (bool, re.compile("true|false"), "send true or false"),
    (int, re.compile("[0-9]{1,18}", re.ASCII), "send a whole number"),
    (datetime, re.compile("[0-9]{4}-.*", re.ASCII), "send a date and time, such as 2026-11-20T08:15:30Z"),
)
"""Type of a query parameter, its text, and the fix for another text."""


def check_request_query(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Check names and values of the query parameters. A route with `any_query=True` accepts all names.

    Raises:
        ValidationProblem: 422 `invalid`: A parameter is unknown, repeated, or not in its form.
    """
    given = connection.query_params
    if not given:
        return
    known = _query_fields(handler)
    faults: list[FieldError] = []
    for name in dict.fromkeys(given):
        values = given.getall(name)
        fault = (
            _form_fault(known[name], values) if name in known
            else None if handler.opt.get("any_query")
            else ("unknown query parameter", _names_fix(known))
        )  # fmt: skip
        if fault is not None:
            faults.append(FieldError(f"?{name[:64]}", *fault))
    if faults:
        raise ValidationProblem(faults, "The query is not valid.")


async def check_request_body(request: Request[Any, Any, Any]) -> None:
    """Check the types of the body, without any conversion.

    Raises:
        ValidationProblem: 422 `invalid`: A value has another type, a key is unknown, or the route has no body.
    """
    body = await request.body()
    field = request.route_handler.parsed_data_field
    if field is None:
        if body.strip() not in {b"", b"{}"}:
            raise ValidationProblem([FieldError("", "this route has no body", "remove the body")])
        return
    try:
        _decoder(field.annotation).decode(body)
    except msgspec.ValidationError as error:
        raise body_problem(error) from None
    except msgspec.DecodeError:
        return  # Litestar answers a body that is not JSON


@lru_cache(maxsize=256)
def _decoder(body_type: Any) -> msgspec.json.Decoder[Any]:  # noqa: ANN401 - any struct
    return msgspec.json.Decoder(body_type)


def _form_fault(field: FieldDefinition, values: list[str]) -> tuple[str, str] | None:
    """Return the error in the values of a parameter, and its fix."""
    if len(values) > 1:
        return "is repeated", "send it once"
    types = {field.annotation, *get_args(field.annotation)}
    for expected, form, fix in _FORMS:
        if expected in types and not form.fullmatch(values[0]):
            return f"is not of the type {expected.__name__}", fix
    return None


def _names_fix(known: Mapping[str, FieldDefinition]) -> str:
    return f"use one of: {', '.join(known)}" if known else "remove it; the route has no query parameters"


@lru_cache(maxsize=256)
def _query_fields(handler: BaseRouteHandler) -> Mapping[str, FieldDefinition]:
    """Return the query parameters of a route and of its dependencies, by name."""
    providers = handler.resolve_dependencies()
    fields = dict(handler.parsed_fn_signature.parameters)
    for name in providers.keys() & fields.keys():
        fields |= providers[name].parsed_fn_signature.parameters
    named = [(field.kwarg_definition, name, field) for name, field in fields.items()]
    return {kwarg.name or name: field for kwarg, name, field in named if isinstance(kwarg, QueryParameter)}
