"""Connector of a custom platform, by configuration alone: the paths of records and the pointers to their fields.

A custom platform has no envelope of its own, so its sources name one. It has no hints: events name their records.
"""

from typing import cast

from service.bodies.pointers import parse_pointer, resolve_pointer
from service.compute_thread import run_in_thread
from service.errors import ConfigError, PermanentError, Rejection
from service.events import Delivery, Fact, RecordRef
from service.platforms.api.calls import ApiClient, fetch_one, read_as, segment, unknown_kind
from service.platforms.api.coercion import JsonObject
from service.platforms.api.credentials import build_credentials
from service.platforms.api.decoding import record_id
from service.platforms.api.field_map import FieldMap, missing_required
from service.platforms.api.responses import PlatformResponse
from service.platforms.base import CallContext, FetchedRecord, RecordPage
from service.platforms.custom.client import CustomClient
from service.platforms.custom.config import CustomConfig, CustomRecordConfig
from service.platforms.custom.paging import page_path, read_listing
from service.platforms.kind import ConnectorDependencies
from service.records import Record, RecordTypes, Timestamp


class Custom:
    """Connector of one account on a custom platform.

    Raises:
        ConfigError: An unknown kind of record, or an unknown field in a map.
    """

    hints = CustomConfig.hints

    def __init__(self, account: str, config: CustomConfig, dependencies: ConnectorDependencies) -> None:
        self.account = account
        self._calls = ApiClient(
            account,
            config.base_url,
            dependencies.http_client,
            build_credentials(
                config.auth,
                account,
                dependencies.http_client,
                lambda reference, field: dependencies.secret(reference, f"platforms.{account}.auth.{field}"),
                token_cache=dependencies.token_cache,
            ),
            errors=config.errors,
            throttle=dependencies.throttle,
        )
        self.client = CustomClient(self, self._calls, config.operations)
        self._records = config.records
        self._fields = {
            kind: compile_fields(account, kind, record, dependencies.records) for kind, record in config.records.items()
        }

    def read(self, delivery: Delivery) -> tuple[Fact, ...]:
        """Reject every delivery: a custom platform has no envelope of its own. The configuration excludes this case.

        Raises:
            Rejection: 422 `unrecognized_event`.
        """
        raise Rejection(
            422, "unrecognized_event", f"the source {delivery.source} needs an envelope that is not `platform`"
        )

    async def resolve(self, ref: RecordRef, _context: CallContext, /) -> tuple[RecordRef, ...]:
        """Return the record itself: a custom platform has no hints."""
        return (ref,)

    async def fetch(self, ref: RecordRef, context: CallContext) -> FetchedRecord:
        """Fetch a record."""
        if ref.kind not in self._records:
            raise unknown_kind(self.account, ref.kind)
        place, fields = self._records[ref.kind], self._fields[ref.kind]

        def read(reply: PlatformResponse) -> tuple[JsonObject, Record, Timestamp]:
            return read_answer(place, fields, reply)

        path = place.path.replace("{id}", segment(ref.id))
        return await fetch_one(self._calls, f"custom.{ref.kind}.get", path, context, asked=ref.id, read=read)

    async def list_records(self, kind: str, cursor: str | None, context: CallContext) -> RecordPage:
        """Fetch one page of the configured list.

        Returns:
            The page.

        Raises:
            PermanentError: `unknown_kind` for a kind without a list.
        """
        place = self._records[kind].list if kind in self._records else None
        if place is None:
            reason = f"{self.account} has no list of {kind}; platforms.{self.account}.records.{kind}.list names one"
            raise PermanentError("unknown_kind", reason)
        operation, fields = f"custom.{kind}.list", self._fields[kind]
        reply = await self._calls.get(operation, page_path(place, cursor), context)

        def read(answer: PlatformResponse) -> RecordPage:
            return read_listing(place, answer, cursor, fields)

        return await run_in_thread(read_as, operation, read, reply)


def read_answer(
    place: CustomRecordConfig, fields: FieldMap[Record], reply: PlatformResponse
) -> tuple[JsonObject, Record, Timestamp]:
    """Read a record from a response.

    Returns:
        The record's JSON, the record, and its modification time.

    Raises:
        PermanentError: `platform_wrong_envelope`.
    """
    node = resolve_pointer(reply.data, parse_pointer(place.at))
    if not isinstance(node, dict):
        reason = f"no object at {place.at or 'the top'}"
        raise PermanentError("platform_wrong_envelope", reason, http_status=reply.status)
    record: Record = fields.read(cast("JsonObject", node))
    record_id(record.id, reply.status)
    if missing := missing_required(record):
        reason = f"required fields are missing: {', '.join(missing)}"
        raise PermanentError("platform_wrong_envelope", reason, http_status=reply.status)
    return cast("JsonObject", node), record, record.updated_at


def compile_fields(account: str, kind: str, place: CustomRecordConfig, records: RecordTypes) -> FieldMap[Record]:
    """Compile the field map of a kind of record.

    Returns:
        The field map.

    Raises:
        ConfigError: An unknown kind of record, or an unknown field in the map.
    """
    path = f"platforms.{account}.records.{kind}"
    if kind not in records:
        raise ConfigError(path, "there is no such kind of record", f"one of {', '.join(sorted(records))}")
    return FieldMap(records[kind], place.map, f"{path}.map")
