"""/sources, /platforms, /stores, /workers and /polls: configuration and status of an installation."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from service.events import JsonValue
from service.ingress.admin.dependencies import Accounts, Operations, RawParameter
from service.ingress.admin.problems import not_found
from service.management.audit_entries import AuditEntry
from service.management.circuits import CircuitView
from service.management.overview import InstallationOverview
from service.management.platform_operations import ReadView, WriteView, Wrote
from service.management.settings_view import ConfigView
from service.management.source_tests import EVENT_CHARACTERS_MAX, RECORD_ID_CHARACTERS_MAX
from service.management.status import PlatformView, PollView, SourceView, StoreView, WorkerView
from service.sending.source_tester import TestDelivery
from service.store.management.audit import ENTRIES_MAX


class WriteRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of a write operation: ids by name, and a body if the operation requires one."""

    ids: Mapping[str, str] = {}
    body: Mapping[str, Any] | None = None


class SourceTestRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Event type and record id of a test delivery."""

    event: Annotated[str, Meta(min_length=1, max_length=EVENT_CHARACTERS_MAX)]
    record_id: Annotated[str, Meta(min_length=1, max_length=RECORD_ID_CHARACTERS_MAX)]


IncludeMemory = Annotated[bool, QueryParameter(description="include memory usage; scans every key")]


class Sources(Controller):
    """Configured sources, without secrets."""

    path = "/sources"
    tags = ("Installation",)

    @get("/", role="viewer")
    async def list_sources(self, operations: Operations) -> Sequence[SourceView]:
        """List the sources."""
        return await operations.list_sources()

    @get("/{name:str}", role="viewer")
    async def get_source(self, name: FromPath[str], operations: Operations) -> SourceView:
        """Return one source."""
        for source in await operations.list_sources():
            if source.name == name:
                return source
        raise not_found(f"source {name[:64]}")

    @post("/{name:str}/test", role="operator", status_code=200)
    async def test_source(
        self, name: FromPath[str], data: JSONBody[SourceTestRequest], operations: Operations
    ) -> TestDelivery:
        """Send one signed delivery to the source through the webhook port. Its event is processed."""
        return await operations.test_source(name, data.event, data.record_id)


class PlatformAccounts(Controller):
    """Configured platform accounts, without credentials."""

    path = "/platforms"
    tags = ("Installation",)

    @get("/", role="viewer")
    async def list_platforms(self, operations: Operations) -> Sequence[PlatformView]:
        """List the platform accounts."""
        return await operations.list_platforms()

    @get("/{account:str}", role="viewer")
    async def get_platform(self, account: FromPath[str], operations: Operations) -> PlatformView:
        """Return one platform account."""
        for platform in await operations.list_platforms():
            if platform.account == account:
                return platform
        raise not_found(f"platform {account[:64]}")

    @get("/{account:str}/reads", role="viewer")
    async def list_reads(self, account: FromPath[str], accounts: Accounts) -> Sequence[ReadView]:
        """List the read operations of an account."""
        return await accounts.list_reads(account)

    @get("/{account:str}/reads/{operation:str}", role="operator", any_query=True)
    async def read_platform(
        self,
        account: FromPath[str],
        operation: FromPath[str],
        request: Request[Any, Any, Any],
        accounts: Accounts,
        raw: RawParameter = False,
    ) -> JsonValue:
        """Read one item or one page of a list from the platform. The query holds the arguments of the operation."""
        arguments = {name: value for name, value in request.query_params.items() if name != "raw"}
        return await accounts.read_platform(account, operation, arguments, raw=raw)

    @get("/{account:str}/writes", role="viewer")
    async def list_writes(self, account: FromPath[str], accounts: Accounts) -> Sequence[WriteView]:
        """List the write operations of an account."""
        return await accounts.list_writes(account)

    @post("/{account:str}/writes/{operation:str}", role="admin", status_code=200)
    async def write_platform(
        self,
        account: FromPath[str],
        operation: FromPath[str],
        data: JSONBody[WriteRequest],
        accounts: Accounts,
        raw: RawParameter = False,
    ) -> Wrote:
        """Run one write operation once. After a 502, check the item on the platform before you repeat the call."""
        body = None if data.body is None else msgspec.json.encode(data.body)
        return await accounts.write_platform(account, operation, data.ids, body, raw=raw)


class Circuits(Controller):
    """Circuits of the platform accounts."""

    path = "/circuits"
    tags = ("Installation",)

    @get("/", role="viewer")
    async def list_circuits(self, operations: Operations) -> Sequence[CircuitView]:
        """List the platform accounts with their circuits and parked jobs."""
        return await operations.list_circuits()

    @post("/{account:str}/pause", role="operator", status_code=200)
    async def pause_account(self, account: FromPath[str], operations: Operations) -> CircuitView:
        """Open the circuit of an account until it is resumed. Its events are parked."""
        return await operations.pause_account(account)

    @post("/{account:str}/resume", role="operator", status_code=200)
    async def resume_account(self, account: FromPath[str], operations: Operations) -> CircuitView:
        """Close the circuit of an account. Its events are freed gradually."""
        return await operations.resume_account(account)


class SystemStatus(Controller):
    """Overview, stores, workers and polls."""

    path = "/"
    tags = ("Installation",)

    @get("/overview", role="viewer")
    async def get_overview(self, operations: Operations) -> InstallationOverview:
        """Return the overview: queue, activity of the last day, circuits, rulebook and conditions to act on."""
        return await operations.get_overview()

    @get("/configuration", role="operator")
    async def get_configuration(self, operations: Operations) -> ConfigView:
        """Return settings and waybill.yaml as the process loaded them, with references instead of secrets."""
        return await operations.get_configuration()

    @get("/changes", role="viewer")
    async def list_changes(
        self, operations: Operations, limit: Annotated[int, QueryParameter(ge=1, le=ENTRIES_MAX)] = 100
    ) -> Sequence[AuditEntry]:
        """List the newest changes by operators. The log lines `admin.changed` are the whole audit log."""
        return await operations.list_changes(limit)

    @get("/stores", role="viewer")
    async def list_stores(self, operations: Operations, memory: IncludeMemory = False) -> Sequence[StoreView]:
        """List the stores with their status."""
        return await operations.list_stores(memory=memory)

    @get("/workers", role="viewer")
    async def list_workers(self, operations: Operations) -> Sequence[WorkerView]:
        """List the workers by their heartbeats."""
        return await operations.list_workers()

    @get("/polls", role="viewer")
    async def list_polls(self, operations: Operations) -> Sequence[PollView]:
        """List the polls with their status."""
        return await operations.list_polls()
