"""Operations of a platform as data, and the calls of one account.

Clients declare their operations with `@operation`. If no page of the platform's documentation prints a path, the
operation is not `documented`, and waybill.yaml may override the path under `paths`:
`{rule.list: "/organizations/{organization}/ruleset"}`, with another method in front if it differs.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypedDict, TypeVar, Unpack, cast

import msgspec
from msgspec import UNSET, Struct

from service.errors import ConfigError, PermanentError
from service.platforms.api.calls import NO_HEADERS, ApiClient, segment
from service.platforms.api.coercion import JsonObject, children
from service.platforms.api.decoding import not_a_list
from service.platforms.api.fetching import fetch_one, read_as
from service.platforms.api.responses import PlatformResponse, TypedReader
from service.platforms.base import CallContext, FetchedRecord
from service.records import Record, Timestamp

T = TypeVar("T")

QueryPairs = Sequence[tuple[str, str]]

NO_CONTEXT = CallContext("")
"""For calls that no event asks for."""

_PLACE = re.compile(r"\{([a-z_]+)\}")
_PATH = re.compile(r"(?:(GET|POST|PUT|PATCH|DELETE) )?(/[^\s?#]*)", re.ASCII)
_NO_IDS: Mapping[str, str] = {}


class Operation(Struct, frozen=True):
    """One operation. `path` starts at the account's base URL, with ids in braces; `page` is the page's title.

    `reads` marks a POST that changes nothing.
    """

    name: str
    method: str
    path: str
    page: str
    documented: bool = True
    reads: bool = False

    @property
    def idempotent(self) -> bool:
        """Return True if a repeated call changes nothing."""
        return self.reads or self.method == "GET"

    @property
    def path_parameters(self) -> frozenset[str]:
        """Return the names in braces."""
        return frozenset(parameters_of(self.path))


class RequestParts(TypedDict, total=False):
    """Parts of the request of an operation: path parameters, query parameters, and the body, sent as JSON."""

    ids: Mapping[str, str]
    query: QueryPairs
    body: object


class WriteResult(Struct, frozen=True):
    """Result of a write: the id in the response, if any, and the response without its envelope.

    `data` is None if the response has no readable body: the status alone means success.
    """

    id: str | None
    http_status: int
    data: JsonObject | None
    duration_ms: float


class ResultPage(Struct, frozen=True):
    """One page of a list. `next` requests the next page, None at the end; `total` is set if the platform counts."""

    items: tuple[JsonObject, ...]
    next: str | None = None
    total: int | None = None


def read_listed(reply: PlatformResponse, key: str) -> tuple[JsonObject, tuple[JsonObject, ...]]:
    """Read a response with a list.

    Args:
        reply: The response.
        key: The key of the list in it.

    Returns:
        The response as an object, and the items of the list.

    Raises:
        not_a_list: The error of a response that is not a list: `platform_wrong_envelope` or `config_wrong_address`.
    """
    data: Any = reply.data
    node: JsonObject = cast("JsonObject", data) if isinstance(data, dict) else {}
    items = children(node, key)
    if items is UNSET or items is None:
        raise not_a_list(reply.status)
    return node, tuple(items)


def build_page(items: tuple[JsonObject, ...], onward: int, total: object, *, more: bool) -> ResultPage:
    """Build a page. `onward` requests the next page, if there are `more` items. An empty page is the last one."""
    return ResultPage(items, str(onward) if items and more else None, total if isinstance(total, int) else None)


def override_paths(operations: Sequence[Operation], paths: Mapping[str, str], at: str) -> dict[str, Operation]:
    """Apply the paths of waybill.yaml; `at` is their place in it.

    Returns:
        The operations by name.

    Raises:
        ConfigError: No such operation, its path is documented, or the new path cannot be used.
    """
    known = {operation.name: operation for operation in operations}
    free = sorted(operation.name for operation in operations if not operation.documented)
    for name, text in paths.items():
        if name not in free:
            reason = "has a documented path" if name in known else "there is no such operation"
            raise ConfigError(f"{at}.{name}", reason, f"one of {', '.join(free) or 'none on this platform'}")
        found = _PATH.fullmatch(text)
        changed = msgspec.structs.replace(
            known[name], method=(found[1] if found else None) or known[name].method, path=found[2] if found else ""
        )
        if not found or changed.path_parameters != known[name].path_parameters:
            raise ConfigError(f"{at}.{name}", "is no path for it", f"write it as {known[name].path}")
        known[name] = changed
    return known


class PlatformApi:
    """Operations of one account.

    `fixed` fills the path parameters of every call, such as the tenant; `headers` returns the headers of a call.
    """

    def __init__(
        self,
        kind: str,
        calls: ApiClient,
        operations: Mapping[str, Operation],
        fixed: Mapping[str, str] = _NO_IDS,
        headers: Callable[[CallContext], Mapping[str, str]] = lambda _: NO_HEADERS,
    ) -> None:
        self.kind = kind
        self._headers = headers
        self._calls = calls
        self._operations = operations
        self._fixed = {name: segment(value) for name, value in fixed.items()}

    async def call(
        self,
        name: str,
        context: CallContext,
        *,
        ids: Mapping[str, str] = _NO_IDS,
        query: QueryPairs = (),
        body: object = None,
    ) -> PlatformResponse:
        """Call an operation.

        Args:
            name: The name of the operation.
            context: The event that the call belongs to.
            ids: The path parameters.
            query: The query parameters.
            body: The body, sent as JSON; None for no body.

        Returns:
            The response.

        Raises:
            TransientError, Deferred: As `ApiClient.call`.
            PermanentError: As `ApiClient.call`; `invalid_id` for an id that no path can contain.
        """
        operation = self._operations[name]
        return await self._calls.call(
            f"{self.kind}.{name}",
            operation.method,
            self._path(operation, ids),
            context,
            query=query,
            body=None if body is None else msgspec.json.encode(body),
            headers=self._headers(context),
            repeatable=operation.idempotent,
        )

    async def read(
        self, name: str, context: CallContext, read: Callable[[PlatformResponse], T], **request: Unpack[RequestParts]
    ) -> T:
        """Call an operation and read its response.

        Returns:
            The result of `read`.

        Raises:
            TransientError, PermanentError, Deferred: As `call`, and as `read`.
        """
        reply = await self.call(name, context, **request)
        return read_as(f"{self.kind}.{name}", read, reply)

    async def fetch(
        self,
        name: str,
        context: CallContext,
        *,
        ids: Mapping[str, str],
        asked: str,
        read: Callable[[PlatformResponse], tuple[JsonObject, Record, Timestamp]],
        read_typed: TypedReader | None = None,
    ) -> FetchedRecord:
        """Fetch one record, as `fetch_one`.

        Returns:
            The state of the record.

        Raises:
            TransientError, Deferred: As `call`.
            PermanentError: As `call`; `platform_wrong_record`.
        """
        operation = self._operations[name]
        path = self._path(operation, ids)
        headers = self._headers(context)
        return await fetch_one(
            self._calls,
            f"{self.kind}.{name}",
            path,
            context,
            asked=asked,
            read=read,
            headers=headers,
            read_typed=read_typed,
        )

    async def write(
        self, name: str, context: CallContext, *, key: str = "id", **request: Unpack[RequestParts]
    ) -> WriteResult:
        """Call a writing operation; `key` is the name of the id in the response.

        A 404 to a DELETE counts as success, a 404 to any other write does not.

        Returns:
            The result.

        Raises:
            TransientError, Deferred: As `call`.
            PermanentError: As `call`; `record_gone`.
        """
        reply = await self.call(name, context, **request)
        deletes = self._operations[name].method == "DELETE"
        if reply.gone and not deletes:
            reason = f"{self.kind}.{name}: there is no such thing"
            raise PermanentError("record_gone", reason, http_status=reply.status, operation=f"{self.kind}.{name}")
        data = _inner(reply.data)
        own = None if data is None else data.get(key)
        text = str(own) if isinstance(own, str | int) and not isinstance(own, bool) else None
        return WriteResult(text, reply.status, data, reply.duration_ms)

    def _path(self, operation: Operation, ids: Mapping[str, str]) -> str:
        places = self._fixed | {name: segment(value) for name, value in ids.items()}
        pieces = list(_pieces(operation.path))
        try:
            pieces[1::2] = [places[name] for name in pieces[1::2]]
        except KeyError:
            missing = ", ".join(sorted(operation.path_parameters - places.keys()))
            reason = f"{self.kind}.{operation.name} needs a {missing} in waybill.yaml"
            raise PermanentError("not_configured", reason) from None
        return "".join(pieces)


def parameters_of(path: str) -> tuple[str, ...]:
    """Return the names in braces of a path, in their order."""
    return _pieces(path)[1::2]


@lru_cache(maxsize=1024)  # every call reads it, for few operations
def _pieces(path: str) -> tuple[str, ...]:
    """Split a path at its parameters: text, name, text, and so on, text last."""
    return tuple(_PLACE.split(path))


def _inner(data: object) -> JsonObject | None:
    if not isinstance(data, dict):
        return None
    outer = cast("dict[str, Any]", data)
    inner = outer.get("data")
    return cast("JsonObject", inner) if isinstance(inner, dict) else outer
