"""Fetches and lists the records of an account that waybill.yaml describes."""

import hashlib
from collections.abc import Callable, Mapping
from typing import cast

from service.bodies.pointers import parse_pointer, resolve_pointer
from service.compute_thread import run_in_thread
from service.errors import ConfigError, PermanentError
from service.events import RecordRef
from service.platforms.api.calls import NO_HEADERS, ApiClient, segment, unknown_kind
from service.platforms.api.coercion import JsonObject
from service.platforms.api.decoding import NoRecordError, record_id
from service.platforms.api.fetching import fetch_one, read_as
from service.platforms.api.field_map import FieldMap, missing_required
from service.platforms.api.listed_records import page_path, read_listing
from service.platforms.api.record_config import CustomRecordConfig
from service.platforms.api.responses import PlatformResponse, TypedReader, TypedRecord
from service.platforms.base import CallContext, FetchedRecord, RecordPage
from service.records import Record, RecordTypes, Timestamp


class ConfiguredRecords:
    """Records of one account. `platform` begins the names of operations; `headers` returns the headers of a call.

    Raises:
        ConfigError: An unknown kind of record, or an unknown field in a map.
    """

    def __init__(
        self,
        platform: str,
        calls: ApiClient,
        configs: Mapping[str, CustomRecordConfig],
        types: RecordTypes,
        headers: Callable[[CallContext], Mapping[str, str]] = lambda _: NO_HEADERS,
    ) -> None:
        self._platform = platform
        self._calls = calls
        self._headers = headers
        self._configs = configs
        self._fields = {kind: compile_fields(calls.account, kind, config, types) for kind, config in configs.items()}
        self._typed: dict[str, TypedReader | None] = {}

    def __contains__(self, kind: str) -> bool:
        """Return whether waybill.yaml describes a kind of record for the account."""
        return kind in self._configs

    async def fetch(self, ref: RecordRef, context: CallContext) -> FetchedRecord:
        """Fetch a record.

        Returns:
            The state of the record.

        Raises:
            unknown_kind: There is no such kind of record.
        """
        if ref.kind not in self._configs:
            raise unknown_kind(self._calls.account, ref.kind)
        place, fields = self._configs[ref.kind], self._fields[ref.kind]
        if ref.kind not in self._typed:  # not at start: it takes milliseconds, and only workers fetch
            self._typed[ref.kind] = typed_reader(place, fields)

        def read(reply: PlatformResponse) -> tuple[JsonObject, Record, Timestamp]:
            return read_answer(place, fields, reply)

        path, operation = place.path.replace("{id}", segment(ref.id)), f"{self._platform}.{ref.kind}.get"
        return await fetch_one(
            self._calls,
            operation,
            path,
            context,
            asked=ref.id,
            read=read,
            headers=self._headers(context),
            read_typed=self._typed[ref.kind],
        )

    async def list_records(self, kind: str, cursor: str | None, context: CallContext) -> RecordPage:
        """Fetch one page of the configured list.

        Returns:
            The page.

        Raises:
            PermanentError: `unknown_kind` for a kind without a list.
        """
        account, place = self._calls.account, self._configs[kind].list if kind in self._configs else None
        if place is None:
            reason = f"{account} has no list of {kind}; platforms.{account}.records.{kind}.list names one"
            raise PermanentError("unknown_kind", reason)
        operation, fields = f"{self._platform}.{kind}.list", self._fields[kind]
        reply = await self._calls.get(operation, page_path(place, cursor), context, self._headers(context))

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
        NoRecordError: There is no object, or it has no id.
        PermanentError: `platform_wrong_envelope`: a required field is missing.
    """
    node = resolve_pointer(reply.data, parse_pointer(place.at))
    if not isinstance(node, dict):
        reason = f"no object at {place.at or 'the top'}"
        raise NoRecordError(reason, reply.status)
    record: Record = fields.read(cast("JsonObject", node))
    record_id(record.id, reply.status)
    if missing := missing_required(record):
        reason = f"required fields are missing: {', '.join(missing)}"
        raise PermanentError("platform_wrong_envelope", reason, http_status=reply.status)
    return cast("JsonObject", node), record, record.updated_at


def typed_reader(place: CustomRecordConfig, fields: FieldMap[Record]) -> TypedReader | None:
    """Build the reader of usual records from the bytes of a response; None if the pointers allow none."""
    at = parse_pointer(place.at)
    typed = fields.typed(at)
    if typed is None:
        return None

    def read(body: bytes) -> TypedRecord | None:
        record: Record | None = typed.read(body)
        if record is None or not record.id or missing_required(record):
            return None
        return TypedRecord(record, record.updated_at, hashlib.sha256(body).hexdigest(), at)

    return read


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
