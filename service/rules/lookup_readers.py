"""Readers of looked-up records: the record of a look-up, or with `each` the elements of a list with their records."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, cast

import msgspec
from msgspec import UNSET, Struct, UnsetType

from service.events import RecordRef
from service.rules.limits import LOOKUP_ID_CHARS_MAX
from service.rules.lookups import LookupFailed, LookupPending, LookupRequest, LookupUnavailable
from service.rules.scope import Scope, Value


class CompiledLookup(Struct, frozen=True, kw_only=True):
    """A look-up of a rule. `record` is the type of the record.

    `render_id` takes the scope, or the list element. With `each`, `read_list` reads the list from the scope, and
    `element` is the type that `elements_type` built.
    """

    name: str
    platform: str | None
    kind: str
    retries: bool
    record: type[Struct]
    render_id: Callable[[Any], str]
    element: type[Struct] | None = None
    read_list: Callable[[Any], Any] | None = None
    elements_max: int = 0

    def read_record(self, scope: Scope) -> Value:
        """Read the record. UNSET if it is absent and the scope is lenient.

        Raises:
            LookupPending, LookupUnavailable, LookupFailed: as `Lookups.get`.
        """
        try:
            return scope.lookups.get(self.name, self._request(scope, scope))
        except LookupUnavailable:
            if scope.lookups.is_lenient:
                return UNSET
            raise

    def read_elements(self, scope: Scope) -> Value:
        """Read the list of elements with their records, once for all conditions of the rule.

        Raises:
            LookupPending: as `Lookups.get`, for all elements at once.
            LookupUnavailable: the list has too many elements.
        """
        key = f"\0with.{self.name}"
        if key not in scope.known:
            scope.known[key] = self._read_elements(scope)
        return scope.known[key]

    def _read_elements(self, scope: Scope) -> Value:
        assert self.read_list is not None  # the look-up has `each`
        assert self.element is not None
        items = self.read_list(scope)
        if not isinstance(items, tuple):
            return items
        items = cast("Sequence[Value]", items)
        elements, pending, build = list[Any](), list[LookupRequest](), cast("Callable[[Any, Any], Any]", self.element)
        if len(items) > self.elements_max:
            if scope.lookups.is_lenient:
                return UNSET
            raise LookupUnavailable(f"{self.name}: the list has more than {self.elements_max} elements (elements_max)")
        for item in items:
            try:
                elements.append(build(item, scope.lookups.get(self.name, self._request(scope, item))))
            except LookupPending as found:
                pending += found.requests
            except (LookupUnavailable, LookupFailed) as error:
                is_absent = scope.lookups.is_lenient and isinstance(error, LookupUnavailable)
                elements.append(build(item, UNSET if is_absent else error))
        if pending:
            raise LookupPending(pending)
        return tuple(elements)

    def _request(self, scope: Scope, source: Value) -> LookupRequest:
        record_id = self.render_id(source)
        if not record_id or len(record_id) > LOOKUP_ID_CHARS_MAX:
            reason = f"longer than {LOOKUP_ID_CHARS_MAX} characters" if record_id else "empty"
            raise LookupUnavailable(f"{self.name}: its id is {reason}")
        return LookupRequest(
            RecordRef(self.platform or scope.event.record.platform, self.kind, record_id), self.retries
        )


@lru_cache(maxsize=256)
def elements_type(item: type, record: type[Struct]) -> type[Struct]:
    """Build the type of a list element with its looked-up record: `element` and `record`."""
    read_found = attrgetter("_found")

    def read_record(pair: Value) -> Value:
        found = read_found(pair)
        if isinstance(found, LookupUnavailable | LookupFailed):
            raise found.with_traceback(None)
        return found

    read_record.__annotations__["return"] = record | UnsetType
    namespace = {"record": property(read_record)}
    return msgspec.defstruct("LookedUpElement", [("element", item), ("_found", Any)], namespace=namespace, frozen=True)
