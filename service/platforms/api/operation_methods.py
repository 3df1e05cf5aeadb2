"""Methods of a platform's client as rows of a table: each row is an operation with its path, ids and body."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

from msgspec import Struct

from service.platforms.api.coercion import JsonObject
from service.platforms.api.declared_operations import RuleActionOptions, operation, rule_action
from service.platforms.api.decoding import check_id, unwrap
from service.platforms.api.operations import (
    NO_CONTEXT,
    Operation,
    PlatformApi,
    ResultPage,
    WriteResult,
    parameters_of,
)
from service.platforms.api.responses import PlatformResponse
from service.platforms.base import CallContext

GetMethod = Callable[..., Awaitable[JsonObject | None]]
ListMethod = Callable[..., Awaitable[ResultPage]]
WriteMethod = Callable[..., Awaitable[WriteResult]]

_POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD

_Call = Callable[[PlatformApi, dict[str, Any], CallContext], Awaitable[Any]]


class OperationTable(Struct, frozen=True):
    """Table of the operations below one path of a platform. A client with such methods has the attribute `api`.

    Attributes:
        root: The path that all operations start with. The account fills its parameters.
        wrapped: Whether a response has its object under `data`; None for both forms.
        read_page: Reads a response with a list whose next page is the query string `next`; None without such lists.
        id_key: The name of the id in the response to a write.
    """

    root: str
    wrapped: bool | None
    read_page: Callable[[PlatformResponse], ResultPage] | None = None
    id_key: str = "id"

    def get(self, name: str, path: str, page: str, *, documented: bool = True, id_at: str = "") -> GetMethod:
        """Define a method that reads one object.

        Args:
            name: The name of the operation.
            path: The path below the root. Each of its parameters is a parameter of the method.
            page: The title of the page in the platform's documentation.
            documented: False if no page prints the path.
            id_at: The key of the id in the object, which must be the last requested one; empty to accept any.

        Returns:
            The method. It returns None for a missing object.
        """

        def call(api: PlatformApi, ids: dict[str, Any], context: CallContext) -> Awaitable[JsonObject | None]:
            def read(reply: PlatformResponse) -> JsonObject | None:
                if reply.gone:
                    return None
                node = unwrap(reply.data, reply.status, wrapped=self.wrapped)
                if id_at:
                    check_id(node, id_at, list(ids.values())[-1], reply.status)
                return node

            return api.read(name, context, read, ids=ids)

        return self._method(Operation(name, "GET", self.root + path, page, documented), path, call)

    def list(self, name: str, path: str, page: str, *, documented: bool = True) -> ListMethod:
        """Define a method that reads a page of a list; arguments as those of `get`.

        Returns:
            The method. Its parameter `page` is the `next` of the page before.
        """
        read_page = self.read_page
        assert read_page is not None

        def call(api: PlatformApi, ids: dict[str, Any], context: CallContext) -> Awaitable[ResultPage]:
            query = query_of(ids.pop("page", None) or "")
            return api.read(name, context, read_page, ids=ids, query=query)

        onward = inspect.Parameter("page", _POSITIONAL, default=None, annotation=str | None)
        return self._method(Operation(name, "GET", self.root + path, page, documented), path, call, onward)

    def write(
        self,
        name: str,
        request: str,
        page: str,
        *,
        body: tuple[str, Any] | None = None,
        documented: bool = True,
        action: RuleActionOptions | None = None,
    ) -> WriteMethod:
        """Define a method that changes something.

        Args:
            name: The name of the operation.
            request: The HTTP method and the path below the root, such as `PUT /rules/{rule}`.
            page: The title of the page in the platform's documentation.
            body: The name and the type of the body, the last parameter of the method; None for no body.
            documented: False if no page prints the path.
            action: The rule action; None if rules may not use the operation.

        Returns:
            The method.
        """
        verb, _, path = request.partition(" ")

        def call(api: PlatformApi, ids: dict[str, Any], context: CallContext) -> Awaitable[WriteResult]:
            content = ids.pop(body[0]) if body else None
            return api.write(name, context, ids=ids, body=content, key=self.id_key)

        further = [inspect.Parameter(body[0], _POSITIONAL, annotation=body[1])] if body else []
        method = self._method(Operation(name, verb, self.root + path, page, documented), path, call, *further)
        if action is None:
            return method
        return rule_action(action.repeat, action.summary, action.description, keeps_response=action.keeps_response)(
            method
        )

    def _method(self, made: Operation, path: str, call: _Call, *further: inspect.Parameter) -> Any:  # noqa: ANN401 - callers state the type
        ids = [inspect.Parameter(name, _POSITIONAL, annotation=str) for name in parameters_of(path)]
        context = inspect.Parameter("context", _POSITIONAL, default=NO_CONTEXT, annotation=CallContext)
        signature = inspect.Signature([inspect.Parameter("self", _POSITIONAL), *ids, *further, context])

        async def method(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the signature has the types
            arguments = signature.bind(*args, **kwargs).arguments
            client, given = arguments.pop("self"), arguments.pop("context", NO_CONTEXT)
            return await call(client.api, arguments, given)

        method.__signature__ = signature  # pyright: ignore[reportFunctionMemberAccess] - inspect.signature reads it
        method.__doc__ = f'{made.method} {made.path}. Page "{made.page}".'
        declare = operation(made.name, made.method, made.path, made.page, documented=made.documented)
        return declare(method)


def query_of(page: str) -> list[tuple[str, str]]:
    """Return the query parameters of the query string of a next page."""
    return parse_qsl(page, keep_blank_values=True)
