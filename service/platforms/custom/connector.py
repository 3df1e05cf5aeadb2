"""Any other system that answers JSON over HTTP, by configuration alone: where records are, and which field is which.

It has no envelope of its own, so its sources name one; its hints lead nowhere, so events name their records themselves.
"""

from collections.abc import Mapping
from typing import cast

from msgspec import Struct

from service.envelopes.pointers import parse_pointer
from service.errors import ConfigError, PermanentError, Rejection
from service.events import Delivery, Fact, RecordRef
from service.http_client import HttpClient
from service.platforms.api.calls import ApiClient, fetch_one, read_as, segment, unknown_kind
from service.platforms.api.coercion import JsonObject
from service.platforms.api.credentials import Credentials
from service.platforms.api.decoding import record_id
from service.platforms.api.responses import PlatformResponse
from service.platforms.api.throttle import NO_THROTTLE, Throttle
from service.platforms.base import CallContext, FetchedRecord, RecordPage
from service.platforms.custom.field_map import FieldMap, resolve_pointer
from service.platforms.custom.paging import ListLocation, page_path, read_listing
from service.records import RECORDS, Record, Timestamp

NO_STATUSES: frozenset[int] = frozenset()


class RecordLocation(Struct, frozen=True):
    """Where a kind of record is: a path with `{id}`, a pointer to it in the answer, pointers to its fields, a list."""

    path: str
    at: str
    map: Mapping[str, str]
    list: ListLocation | None = None


class Custom:
    """One account on such a system. The errors of its methods are `Platform`'s.

    Raises:
        ConfigError: a record kind, or a field in a map, that there is not.
    """

    def __init__(
        self,
        account: str,
        outbound: HttpClient,
        *,
        base_url: str,
        credentials: Credentials,
        places: Mapping[str, RecordLocation],
        transient: frozenset[int] = NO_STATUSES,
        gone: frozenset[int] = NO_STATUSES,
        gate: Throttle = NO_THROTTLE,
    ) -> None:
        self.account = account
        self._calls = ApiClient(account, base_url, outbound, credentials, transient=transient, gone=gone, gate=gate)
        self._places = places
        self._fields = {kind: compile_fields(account, kind, place) for kind, place in places.items()}

    def read(self, delivery: Delivery) -> tuple[Fact, ...]:
        """Refuse: there is no envelope of this platform's own; the configuration does not let it come to this.

        Raises:
            Rejection: 422 `unrecognized_event`.
        """
        raise Rejection(
            422, "unrecognized_event", f"the source {delivery.source} needs an envelope that is not `platform`"
        )

    async def resolve(self, ref: RecordRef, _context: CallContext, /) -> tuple[RecordRef, ...]:
        """Every event names its record itself."""
        return (ref,)

    async def fetch(self, ref: RecordRef, context: CallContext) -> FetchedRecord:
        """Ask for a record."""
        if ref.kind not in self._places:
            raise unknown_kind(self.account, ref.kind)
        place, fields = self._places[ref.kind], self._fields[ref.kind]

        def read(reply: PlatformResponse) -> tuple[JsonObject, Record, Timestamp]:
            return read_answer(place, fields, reply)

        path = place.path.replace("{id}", segment(ref.id))
        return await fetch_one(self._calls, f"custom.{ref.kind}.get", path, context, asked=ref.id, read=read)

    async def list_records(self, kind: str, cursor: str | None, context: CallContext) -> RecordPage:
        """Give one page of the list that the configuration names.

        Raises:
            PermanentError: `unknown_kind` for a kind without a list.
        """
        place = self._places[kind].list if kind in self._places else None
        if place is None:
            reason = f"{self.account} has no list of {kind}; platforms.{self.account}.records.{kind}.list names one"
            raise PermanentError("unknown_kind", reason)
        operation, fields = f"custom.{kind}.list", self._fields[kind]
        reply = await self._calls.get(operation, page_path(place, cursor), context)
        return read_as(operation, lambda answer: read_listing(place, answer, cursor, fields), reply)


def read_answer(
    place: RecordLocation, fields: FieldMap[Record], reply: PlatformResponse
) -> tuple[JsonObject, Record, Timestamp]:
    """Read a record out of an answer.

    Raises:
        PermanentError: `platform_wrong_envelope`.
    """
    node = resolve_pointer(reply.data, parse_pointer(place.at))
    if not isinstance(node, dict):
        reason = f"no object at {place.at or 'the top'}"
        raise PermanentError("platform_wrong_envelope", reason, http_status=reply.status)
    record: Record = fields.read(cast("JsonObject", node))
    record_id(record.id, reply.status)
    return cast("JsonObject", node), record, record.updated_at


def compile_fields(account: str, kind: str, place: RecordLocation) -> FieldMap[Record]:
    """Make what reads the fields of a kind of record.

    Raises:
        ConfigError: a kind, or a field in the map, that there is not.
    """
    path = f"platforms.{account}.records.{kind}"
    if kind not in RECORDS:
        raise ConfigError(path, "there is no such kind of record", f"one of {', '.join(sorted(RECORDS))}")
    return FieldMap(RECORDS[kind], place.map, f"{path}.map")
