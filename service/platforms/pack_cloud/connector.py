"""Connector of pack.cloud (REST v1): purchase orders and customers of one organization.

The documentation names neither the keys of nested objects nor the envelope nor the authentication. A response may
therefore be bare or under `data`, nested fields are optional, and header and prefix of the token are configurable.
Webhooks are documented for orders only; these are hints that lead to the customer. For purchase orders and customers an
integration may send the same shape, `{"event_code": "purchase_order.updated", "id": …, "data": {"id": …}}`.
"""

from typing import Any

import msgspec
from msgspec import Struct

from service.errors import Rejection
from service.events import ChangeType, Delivery, Fact, RecordRef
from service.platforms.api.coercion import JsonObject, record_version, text, timestamp
from service.platforms.api.credentials import StaticHeaders
from service.platforms.api.decoding import listed_digest
from service.platforms.api.deliveries import RawId, decode_delivery, optional_id, required_id
from service.platforms.base import CallContext, ListedRecord, RecordPage
from service.platforms.built_in_connector import BuiltInConnector
from service.platforms.kind import ConnectorDependencies, SampleRequest
from service.platforms.pack_cloud.client import PackCloudClient
from service.platforms.pack_cloud.config import PackCloudConfig
from service.platforms.pack_cloud.records import STATUSES, read_customer, read_purchase_order
from service.platforms.pack_cloud.typed_records import read_typed_customer, read_typed_purchase_order

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


class PackCloud(BuiltInConnector):
    """Connector of one organization on pack.cloud."""

    readers = {"purchase_order": read_purchase_order, "customer": read_customer}  # noqa: RUF012 - a table
    typed_readers = {"purchase_order": read_typed_purchase_order, "customer": read_typed_customer}  # noqa: RUF012 - a table

    def __init__(self, account: str, config: PackCloudConfig, dependencies: ConnectorDependencies) -> None:
        path = f"platforms.{account}.token"
        super().__init__(
            account,
            config,
            dependencies,
            PackCloudClient,
            base_url=config.base_url,
            credentials=StaticHeaders(
                lambda: {config.token_header: config.token_prefix + dependencies.secret(config.token, path)}
            ),
            paths=config.paths,
            fixed={"organization": config.organization_id},
        )
        self._organization_id = config.organization_id
        self.client = PackCloudClient(self._api, config.status_filter)

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
        return self._customers([text(order or {}, "customer_id")])

    async def _list(self, kind: str, cursor: str | None, context: CallContext) -> RecordPage:
        """List purchase orders: first the open ones, then the others, newest first.

        The list can be sorted by creation and filtered by status only. Closed orders are read from the newest on, as
        long as a page contains a change. An open order that is no longer listed was closed or is gone.

        Returns:
            The page.
        """
        phase, _, onward = (cursor or "open:").partition(":")
        statuses = OPEN_STATUSES if phase == "open" else CLOSED_STATUSES
        page = await self.client.list_purchase_orders(statuses=statuses, page=onward or None, context=context)
        items = await self._entries(page, lambda node: _listed(self._map.place(kind, node), open_=phase == "open"))
        after = f"{phase}:{page.next}" if page.next else ("closed:" if phase == "open" else None)
        return RecordPage(items, after, after if phase == "open" else None)

    @staticmethod
    def sample_delivery(request: SampleRequest, config: PackCloudConfig) -> dict[str, Any]:
        """Build the body of a sample delivery."""
        return {
            "event_code": request.event,
            "id": request.event_id,
            "organization_id": config.organization_id,
            "occurred_at": request.at,
            "data": {"id": request.id},
        }


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
