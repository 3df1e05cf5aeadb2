"""What an installation consists of and how it fares: /sources, /platforms, /stores, /workers, /polls."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Struct

from service.events import JsonValue
from service.ingress.admin.dependencies import Caller, Dependencies, RawParameter, visibility_for
from service.ingress.admin.problems import not_found
from service.management.platform_reads import ReadView, list_reads, read_platform
from service.management.platform_writes import WriteView, Wrote, list_writes, write_platform
from service.management.status import (
    PlatformView,
    PollView,
    SourceView,
    StoreView,
    WorkerView,
    list_platforms,
    list_polls,
    list_sources,
    list_stores,
    list_workers,
)


class WriteRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What to write: the ids by their names, and a body where the write takes one."""

    ids: Mapping[str, str] = {}
    body: Mapping[str, Any] | None = None


IncludeMemory = Annotated[bool, QueryParameter(description="tell what takes the memory, by looking at every key")]


class Sources(Controller):
    """Configured sources; their secrets are nowhere in them."""

    path = "/sources"
    tags = ("Installation",)

    @get("/", role="viewer")
    async def list_sources(self, parts: Dependencies) -> Sequence[SourceView]:
        """List the sources."""
        return await list_sources(parts.named_stores, parts.sources, parts.source_configs)

    @get("/{name:str}", role="viewer")
    async def get_source(self, name: FromPath[str], parts: Dependencies) -> SourceView:
        """Give one source."""
        for source in await list_sources(parts.named_stores, parts.sources, parts.source_configs):
            if source.name == name:
                return source
        raise not_found(f"source {name[:64]}")


class PlatformAccounts(Controller):
    """Configured platform accounts; their credentials are nowhere in them."""

    path = "/platforms"
    tags = ("Installation",)

    @get("/", role="viewer")
    async def list_platforms(self, parts: Dependencies) -> Sequence[PlatformView]:
        """List the platform accounts."""
        return await list_platforms(parts.named_stores, parts.platform_configs, parts.source_configs)

    @get("/{account:str}", role="viewer")
    async def get_platform(self, account: FromPath[str], parts: Dependencies) -> PlatformView:
        """Give one platform account."""
        for platform in await list_platforms(parts.named_stores, parts.platform_configs, parts.source_configs):
            if platform.account == account:
                return platform
        raise not_found(f"platform {account[:64]}")

    @get("/{account:str}/reads", role="viewer", sync_to_thread=False)
    def list_reads(self, account: FromPath[str], parts: Dependencies) -> Sequence[ReadView]:
        """List what an account can be asked by hand."""
        return list_reads(parts.platform_configs, account)

    @get("/{account:str}/reads/{operation:str}", role="operator", any_query=True)
    async def read_platform(
        self,
        account: FromPath[str],
        operation: FromPath[str],
        request: Request[Any, Any, Any],
        parts: Dependencies,
        caller: Caller,
        raw: RawParameter = False,
    ) -> JsonValue:
        """Ask the platform for one thing, or one page of a list; the query holds the read's arguments."""
        sight = visibility_for(caller, raw=raw)
        arguments = {name: value for name, value in request.query_params.items() if name != "raw"}
        return await read_platform(parts.platform_configs, parts.platforms, account, operation, arguments, sight=sight)

    @get("/{account:str}/writes", role="viewer", sync_to_thread=False)
    def list_writes(self, account: FromPath[str], parts: Dependencies) -> Sequence[WriteView]:
        """List what can be changed on an account by hand."""
        return list_writes(parts.platform_configs, account)

    @post("/{account:str}/writes/{operation:str}", role="admin", status_code=200)
    async def write_platform(
        self,
        account: FromPath[str],
        operation: FromPath[str],
        data: JSONBody[WriteRequest],
        parts: Dependencies,
        caller: Caller,
    ) -> Wrote:
        """Change one thing on the platform, once. After a 502 look there before you repeat it."""
        return await write_platform(
            parts.platform_configs,
            parts.platforms,
            caller,
            account=account,
            operation=operation,
            ids=data.ids,
            body=None if data.body is None else msgspec.json.encode(data.body),
        )


class Fleet(Controller):
    """Stores, workers and polls."""

    path = "/"
    tags = ("Installation",)

    @get("/stores", role="viewer")
    async def list_stores(self, parts: Dependencies, memory: IncludeMemory = False) -> Sequence[StoreView]:
        """Tell how each store fares."""
        return await list_stores(parts.named_stores, weigh=memory)

    @get("/workers", role="viewer")
    async def list_workers(self, parts: Dependencies) -> Sequence[WorkerView]:
        """List the workers by their heartbeats."""
        return await list_workers(parts.named_stores)

    @get("/polls", role="viewer")
    async def list_polls(self, parts: Dependencies) -> Sequence[PollView]:
        """Tell how the polls stand."""
        return await list_polls(parts.named_stores, parts.source_configs)
