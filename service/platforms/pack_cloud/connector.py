"""Connector of pack.cloud (REST v1): purchase orders and customers of one organization.

The documentation names neither the keys of nested objects nor the envelope nor the authentication. A response may
therefore be bare or under `data`, nested fields are optional, and header and prefix of the token are configurable.
Webhooks are documented for orders only; these are hints that lead to the customer. For purchase orders and customers an
integration may send the same shape, `{"event_code": "purchase_order.updated", "id": …, "data": {"id": …}}`.
"""

from typing import Any

import msgspec
from msgspec import Struct

from service.compute_thread import run_in_thread
from service.errors import Rejection
from service.events import ChangeType, Delivery, Fact, RecordRef
from service.platforms.api.calls import ApiClient, unknown_kind
from service.platforms.api.coercion import JsonObject, record_version, text, timestamp
from service.platforms.api.configured_records import ConfiguredRecords
from service.platforms.api.credentials import StaticHeaders
from service.platforms.api.declared_operations import client_operations
from service.platforms.api.decoding import listed_digest
from service.platforms.api.deliveries import RawId, decode_delivery, optional_id, required_id
from service.platforms.api.operations import PlatformApi, override_paths
from service.platforms.api.pointer_map import PointerMap
from service.platforms.base import CallContext, FetchedRecord, ListedRecord, RecordPage
from service.platforms.kind import ConnectorDependencies, SampleRequest
from service.platforms.pack_cloud.client import PackCloudClient
from service.platforms.pack_cloud.config import PackCloudConfig
from service.platforms.pack_cloud.records import STATUSES, read_customer, read_purchase_order

NOUNS = {
    "order": "order",
    "orders": "order",  # the documentation's own example is spelt so, against its list of codes
    "purchase_order": "purchase_order",
    "purchase_orders": "purchase_order",
    "customer": "customer",
    "customers": "customer",
}
CHANGES: dict[str, ChangeType] = {"created": "created", "updated": "updated", "deleted": "deleted"}


class _Subject(Struct):
    id: RawId = None
    updated_at: Any = None


class _Notice(Struct):
    event_code: str
    id: RawId = None
    data: _Subject | None = None
    occurred_at: Any = None
    organization_id: RawId = None


_notices = msgspec.json.Decoder(_Notice)


class PackCloud:
    """Connector of one organization on pack.cloud."""

    hints = PackCloudConfig.hints

    def __init__(self, account: str, config: PackCloudConfig, dependencies: ConnectorDependencies) -> None:
        self.account = account
        self._organization_id = config.organization_id
        path = f"platforms.{account}.token"
        calls = ApiClient(
            account,
            config.base_url,
            dependencies.http_client,
            StaticHeaders(lambda: {config.token_header: config.token_prefix + dependencies.secret(config.token, path)}),
            errors=config.errors,
            throttle=dependencies.throttle,
        )
        operations = override_paths(client_operations(PackCloudClient), config.paths, f"platforms.{account}.paths")
        self._endpoints = PlatformApi("pack_cloud", calls, operations, {"organization": config.organization_id})
        self.client = PackCloudClient(self._endpoints, config.status_filter)
        self._map = PointerMap(config, f"platforms.{account}")
        self._records = ConfiguredRecords("pack_cloud", calls, config.records, dependencies.records)

    def read(self, delivery: Delivery) -> tuple[Fact, ...]:
        """Parse an event of the organization.

        Returns:
            One fact.

        Raises:
            Rejection: 422 `unrecognized_event`: no code, no id, or another organization's; 400 `malformed_payload`.
        """
        notice = decode_delivery(_notices, delivery.body)
        if notice.organization_id is not None and str(notice.organization_id) != self._organization_id:
            raise Rejection(422, "unrecognized_event", "The event is another organization's: see /organization_id.")
        noun, _, verb = notice.event_code.partition(".")
        event_id, kind = optional_id(notice.id), NOUNS.get(noun)
        if kind is None:
            return (Fact(notice.event_code, event_id),)
        subject = notice.data or _Subject()
        record = RecordRef(self.account, kind, required_id(subject.id, "/data/id"))
        if kind == "order":
            return (Fact(notice.event_code, event_id, "changed", record),)
        occurred_at = next((at for at in (notice.occurred_at, subject.updated_at) if isinstance(at, str)), None)
        return (Fact(notice.event_code, event_id, CHANGES.get(verb, "changed"), record, occurred_at),)

    async def resolve(self, ref: RecordRef, context: CallContext) -> tuple[RecordRef, ...]:
        """Return the customer of an order, nothing if the order is gone or has no customer."""
        if ref.kind != "order":
            return (ref,)
        order = await self.client.get_order(ref.id, context)
        customer = None if order is None else text(order, "customer_id")
        return (RecordRef(self.account, "customer", customer),) if customer else ()

    async def fetch(self, ref: RecordRef, context: CallContext) -> FetchedRecord:
        """Fetch a purchase order or a customer."""
        if ref.kind in self._records:
            return await self._records.fetch(ref, context)
        if ref.kind not in {"purchase_order", "customer"}:
            raise unknown_kind(self.account, ref.kind)
        read = read_purchase_order if ref.kind == "purchase_order" else read_customer
        ids, mapped = {ref.kind: ref.id}, self._map.reader(ref.kind, read)
        return await self._endpoints.fetch(f"{ref.kind}.get", context, ids=ids, asked=ref.id, read=mapped)

    async def list_records(self, kind: str, cursor: str | None, context: CallContext) -> RecordPage:
        """List purchase orders: first the open ones, then the others, newest first.

        The list can be sorted by creation and filtered by status only. Closed orders are read from the newest on, as
        long as a page contains a change. An open order that is no longer listed was closed or is gone.

        Returns:
            The page.

        Raises:
            PermanentError: `unknown_kind` for customers, which cannot be listed.
            unknown_kind: The same error.
        """
        if kind in self._records:
            return await self._records.list_records(kind, cursor, context)
        if kind != "purchase_order":
            raise unknown_kind(self.account, kind)
        phase, _, onward = (cursor or "open:").partition(":")
        statuses = OPEN_STATUSES if phase == "open" else CLOSED_STATUSES
        page = await self.client.list_purchase_orders(statuses=statuses, page=onward or None, context=context)
        nodes = [node for node in page.items if text(node, "id")]
        items = await run_in_thread(
            lambda: tuple(_listed(self._map.place(kind, node), open_=phase == "open") for node in nodes)
        )
        after = f"{phase}:{page.next}" if page.next else ("closed:" if phase == "open" else None)
        return RecordPage(items, after, after if phase == "open" else None)


CLOSED_STATUSES = ("completed", "canceled")
OPEN_STATUSES = tuple(status for status in STATUSES if status not in CLOSED_STATUSES)


def _listed(node: JsonObject, *, open_: bool) -> ListedRecord:
    """Build the entry of one order. Its own status decides whether it is open, in case the filter was ignored."""
    status = text(node, "status")
    watched = status not in CLOSED_STATUSES if status else open_
    return ListedRecord(
        text(node, "id") or "",
        record_version(timestamp(node, "updated_at")),
        listed_digest(node),
        watched=watched,
    )


def sample_delivery(request: SampleRequest, config: PackCloudConfig) -> dict[str, Any]:
    """Build the body of a sample delivery."""
    return {
        "event_code": request.event,
        "id": request.event_id,
        "organization_id": config.organization_id,
        "occurred_at": request.at,
        "data": {"id": request.id},
    }
