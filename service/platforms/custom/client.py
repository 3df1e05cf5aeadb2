"""Reads of a custom platform: one record, or one page of a list, of any configured kind. Writes: its operations."""

import uuid
from collections.abc import Mapping
from typing import Any

from msgspec import structs

from service.config.operations import OperationConfig, format_argument
from service.errors import PermanentError, TransientError
from service.events import JsonValue, RecordRef
from service.platforms.api.calls import NO_HEADERS, ApiClient
from service.platforms.api.declared_operations import operation
from service.platforms.api.operations import NO_CONTEXT, Operation, PlatformApi, WriteResult
from service.platforms.base import CallContext, Platform, RecordPage
from service.platforms.custom.config import CustomConfig
from service.platforms.writes import WriteMethod, WriteOperation

NO_VALUES: Mapping[str, Any] = {}


class CustomClient:
    """Operations of one account. waybill.yaml gives their paths: of the reads, one for each kind of record."""

    def __init__(self, platform: Platform, calls: ApiClient, operations: Mapping[str, OperationConfig]) -> None:
        self._platform = platform
        self._operations = operations
        declared = {name: Operation(name, each.method, each.path, "") for name, each in operations.items()}
        self._api = PlatformApi("custom", calls, declared, headers=_key_header)

    @operation("record.get", "GET", "", "")
    async def get_record(self, kind: str, id: str, context: CallContext = NO_CONTEXT) -> JsonValue:  # noqa: A002 - the argument's name
        """Fetch one record.

        Args:
            kind: The kind of record.
            id: The record's id.
            context: The event that the call belongs to.

        Returns:
            The platform's own JSON without its envelope, None if there is no such record.
        """
        fetched = await self._platform.fetch(RecordRef(self._platform.account, kind, id), context)
        return None if fetched.record is None else fetched.raw

    @operation("record.list", "GET", "", "")
    async def list_records(self, kind: str, cursor: str | None = None, context: CallContext = NO_CONTEXT) -> RecordPage:
        """Fetch one page of a list.

        Args:
            kind: The kind of record.
            cursor: The `next` of the page before, None for the first page.
            context: The event that the call belongs to.

        Returns:
            The page.
        """
        return await self._platform.list_records(kind, cursor, context)

    async def write(self, name: str, values: Mapping[str, JsonValue], context: CallContext = NO_CONTEXT) -> WriteResult:
        """Call an operation of waybill.yaml once.

        Args:
            name: The name of the operation.
            values: The values of all its parameters. Those of the path are text or numbers.
            context: The event that the call belongs to. Its idempotency key is sent if the operation is keyed.

        Returns:
            The result.

        Raises:
            TransientError: `unknown_operation`: in a rolling deployment a newer worker may have it; or as
                `PlatformApi.write`.
            PermanentError: `invalid_argument`: a value is missing, unknown, or of a wrong type; or as
                `PlatformApi.write`.
            Deferred: As `PlatformApi.write`.
        """
        declared = self._operations.get(name)
        if declared is None:
            account = self._platform.account
            fix = f"add it to platforms.{account}.operations, or correct the rule"
            raise TransientError("unknown_operation", f"{account} has no operation {name[:64]!r} here; {fix}")
        mistake = declared.check_values(values)
        if mistake:
            raise PermanentError("invalid_argument", f"{name}: {mistake}")
        key = (context.idempotency_key or str(uuid.uuid4())) if declared.repeat == "keyed" else None
        return await self._api.write(
            name,
            structs.replace(context, idempotency_key=key),
            ids={parameter: format_argument(parameter, values[parameter]) for parameter in declared.path_parameters},
            body=declared.build_body(values),
        )


def configured_writes(config: CustomConfig) -> dict[str, WriteOperation]:
    """Return the operations of an account as writes by hand: their ids are the parameters of the path."""
    return {
        name: WriteOperation(
            _write(name), each.path_parameters, ("values", dict[str, Any]) if each.body_parameters else None
        )
        for name, each in config.operations.items()
    }


def _write(name: str) -> WriteMethod:
    async def write(
        client: CustomClient, *, context: CallContext, values: Mapping[str, JsonValue] = NO_VALUES, **ids: str
    ) -> WriteResult:
        return await client.write(name, {**ids, **values}, context)

    return write


def _key_header(context: CallContext) -> Mapping[str, str]:
    return {"Idempotency-Key": context.idempotency_key} if context.idempotency_key else NO_HEADERS
