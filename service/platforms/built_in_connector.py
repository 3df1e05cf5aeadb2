"""Base class of the connectors of built-in platforms: calls, pointer map, and the records that waybill.yaml adds.

A subclass parses deliveries, resolves hints, and reads the kinds of record of its platform. `fetch` and `list_records`
choose between these kinds and those of `records` in waybill.yaml.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

from msgspec import UnsetType

from service.compute_thread import run_in_thread
from service.events import RecordRef
from service.platforms.api.calls import NO_HEADERS, ApiClient, unknown_kind
from service.platforms.api.coercion import EMPTY, JsonObject, text
from service.platforms.api.configured_records import ConfiguredRecords
from service.platforms.api.credentials import Credentials
from service.platforms.api.declared_operations import client_operations
from service.platforms.api.operations import PlatformApi, ResultPage, override_paths
from service.platforms.api.pointer_map import PointerMap, RecordReader
from service.platforms.api.responses import TypedReader
from service.platforms.base import CallContext, FetchedRecord, ListedRecord, RecordPage
from service.platforms.built_in_config import ExtensibleConfig
from service.platforms.kind import ConnectorDependencies


class BuiltInConnector:
    """Connector of one account on a built-in platform.

    `client` is the class of the platform's client, whose operations the account can call. `fixed` and `headers` are
    those of `PlatformApi`. `read_transient` lists the statuses that a retry of a read may fix.

    Raises:
        ConfigError: A path cannot be overridden, or a record has no such field.
    """

    readers: ClassVar[Mapping[str, RecordReader]] = {}
    """Functions that read a response, by the platform's kind of record."""
    typed_readers: ClassVar[Mapping[str, TypedReader]] = {}
    """Functions that read usual responses in less time. Each returns a record equal to that of the other function."""

    def __init__(
        self,
        account: str,
        config: ExtensibleConfig,
        dependencies: ConnectorDependencies,
        client: type,
        *,
        base_url: str,
        credentials: Credentials,
        paths: Mapping[str, str] = EMPTY,
        fixed: Mapping[str, str] = EMPTY,
        headers: Callable[[CallContext], Mapping[str, str]] = lambda _: NO_HEADERS,
        read_transient: frozenset[int] = frozenset(),
    ) -> None:
        kind, at = str(config.__struct_config__.tag), f"platforms.{account}"
        self.account = account
        self.hints = config.hints
        self._listed_kinds = config.listed_kinds()
        operations = override_paths(client_operations(client), paths, f"{at}.paths")
        calls = ApiClient(
            account,
            base_url,
            dependencies.http_client,
            credentials,
            errors=config.errors,
            read_transient=read_transient,
            throttle=dependencies.throttle,
        )
        self._api = PlatformApi(kind, calls, operations, fixed, headers)
        self._map = PointerMap(config, at)
        self._records = ConfiguredRecords(kind, calls, config.records, dependencies.records, headers)

    async def resolve(self, ref: RecordRef, _context: CallContext, /) -> tuple[RecordRef, ...]:
        """Return the record itself; a platform with hints overrides this method."""
        return (ref,)

    async def fetch(self, ref: RecordRef, context: CallContext) -> FetchedRecord:
        """Fetch a record.

        Returns:
            The state of the record.

        Raises:
            TransientError, Deferred: As `PlatformApi.fetch`.
            PermanentError: As `PlatformApi.fetch`; `unknown_kind` for a kind that the account does not have.
        """
        if ref.kind in self._records:
            return await self._records.fetch(ref, context)
        own = await self._reader(ref, context)
        read = self._map.reader(ref.kind, own)
        read_typed = self.typed_readers.get(ref.kind) if read is own else None  # it reads no other places
        ids, asked = {ref.kind: ref.id}, ref.id
        return await self._api.fetch(f"{ref.kind}.get", context, ids=ids, asked=asked, read=read, read_typed=read_typed)

    async def list_records(self, kind: str, cursor: str | None, context: CallContext) -> RecordPage:
        """Fetch one page of a list.

        Returns:
            The page.

        Raises:
            unknown_kind: The account has no list of this kind.
        """
        if kind in self._records:
            return await self._records.list_records(kind, cursor, context)
        if kind not in self._listed_kinds:
            raise unknown_kind(self.account, kind)
        return await self._list(kind, cursor, context)

    async def _reader(self, ref: RecordRef, _context: CallContext, /) -> RecordReader:
        """Return the function that reads a response with the record."""
        if ref.kind not in self.readers:
            raise unknown_kind(self.account, ref.kind)
        return self.readers[ref.kind]

    async def _list(self, kind: str, cursor: str | None, context: CallContext, /) -> RecordPage:
        """Fetch one page of a list that the platform's API has."""
        raise NotImplementedError(f"{type(self).__name__}._list is missing: implement it")

    async def _entries(
        self, page: ResultPage, read: Callable[[JsonObject], ListedRecord], id_key: str = "id"
    ) -> tuple[ListedRecord, ...]:
        """Read the records of a page, in a thread; those without an id are left out."""
        nodes = [node for node in page.items if text(node, id_key)]
        return await run_in_thread(lambda: tuple(map(read, nodes)))

    def _customers(self, ids: Iterable[str | UnsetType | None]) -> tuple[RecordRef, ...]:
        """Return the customers with the ids, each once; absent ids are left out."""
        return tuple(RecordRef(self.account, "customer", each) for each in dict.fromkeys(ids) if each)
