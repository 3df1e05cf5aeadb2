"""Operations declared at the methods of a client: `@operation` is the one place that names an operation.

The reads, the writes and the rule actions of a platform are derived from these declarations.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from msgspec import Struct

from service.actions import RetrySafety
from service.platforms.api.operations import Operation

MethodT = TypeVar("MethodT", bound=Callable[..., Awaitable[Any]])

_OPERATION = "declared_operation"
_RULE_ACTION = "declared_rule_action"


class RuleActionOptions(Struct, frozen=True):
    """Rule action of a write. `summary` and `description` appear in the JSON Schema of rule files.

    With `keeps_response` the history contains the response, redacted, because it is the result of the action.
    """

    repeat: RetrySafety
    summary: str
    description: str
    keeps_response: bool = False


class ClientMethod(Struct, frozen=True):
    """One operation, name and function of the client's method that calls it, and its rule action, if it has one."""

    operation: Operation
    name: str
    call: Callable[..., Awaitable[Any]]
    rule_action: RuleActionOptions | None


def operation(
    name: str, method: str, path: str, page: str, *, documented: bool = True, reads: bool = False
) -> Callable[[MethodT], MethodT]:
    """Declare the operation that a client's method calls.

    Args:
        name: The operation's name, such as `customer.get`.
        method: The HTTP method.
        path: The path below the account's base URL, ids in braces.
        page: The title of the page in the platform's documentation.
        documented: False if no page prints the path; waybill.yaml may then override it under `paths`.
        reads: True for a POST that changes nothing, such as a search.

    Returns:
        A decorator that returns the method itself.
    """
    return _declare(_OPERATION, Operation(name, method, path, page, documented, reads))


def rule_action(
    repeat: RetrySafety, summary: str, description: str, *, keeps_response: bool = False
) -> Callable[[MethodT], MethodT]:
    """Offer a write to rules, as the action `<platform>_<method of the client>`.

    Args:
        repeat: The retry safety of the action.
        summary: One sentence on the effect.
        description: One sentence on the fields.
        keeps_response: True if the response is the result of the action.

    Returns:
        A decorator that returns the method itself.
    """
    return _declare(_RULE_ACTION, RuleActionOptions(repeat, summary, description, keeps_response))


def client_methods(client: type) -> list[ClientMethod]:
    """List the methods of a client that call an operation, in the order of their definition, inherited ones last.

    Args:
        client: The class of a platform's client.

    Returns:
        One entry for each operation.

    Raises:
        ValueError: Two methods declare the same operation.
    """
    methods = [
        ClientMethod(getattr(function, _OPERATION), name, function, getattr(function, _RULE_ACTION, None))
        for each in client.__mro__
        for name, function in vars(each).items()
        if hasattr(function, _OPERATION)
    ]
    names = [each.operation.name for each in methods]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"{client.__name__}: several methods declare {repeated[0]}; declare each operation once")
    return methods


def client_operations(client: type) -> tuple[Operation, ...]:
    """List the operations of a client.

    Args:
        client: The class of a platform's client.

    Returns:
        The operations, in the order of `client_methods`.
    """
    return tuple(each.operation for each in client_methods(client))


def _declare(attribute: str, declared: Struct) -> Callable[[MethodT], MethodT]:
    def declare(method: MethodT) -> MethodT:
        setattr(method, attribute, declared)
        return method

    return declare
