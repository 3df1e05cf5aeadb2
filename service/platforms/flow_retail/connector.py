"""Connector of Flow Retail (API v2): customers of one tenant and purchase orders of one of its stores.

Webhooks carry an action and references, without event id and time. Amounts and quantities are whole numbers with two
implied decimals; the currency is a field of the tenant. The paths of single records, and the name of a purchase order
in a webhook, follow the documented pattern of related ones.
"""

from typing import Any

import msgspec
from msgspec import Struct

from service.errors import Rejection
from service.events import ChangeType, Delivery, Fact, RecordRef
from service.platforms.api.calls import unknown_kind
from service.platforms.api.coercion import JsonObject, record_version, text
from service.platforms.api.credentials import StaticHeaders
from service.platforms.api.decoding import listed_digest
from service.platforms.api.deliveries import RawId, decode_delivery, required_id
from service.platforms.api.pointer_map import RecordReader
from service.platforms.base import CallContext, ListedRecord, RecordPage
from service.platforms.built_in_connector import BuiltInConnector
from service.platforms.flow_retail.client import FlowRetailClient, Paging
from service.platforms.flow_retail.config import FlowRetailConfig
from service.platforms.flow_retail.currency import TenantCurrency
from service.platforms.flow_retail.records import modified_at, read_customer, read_purchase_order
from service.platforms.kind import ConnectorDependencies, SampleRequest

LISTED_MAX = 200
"""Records on one page of a poll; no maximum is documented, a public client of theirs asks for 1,000."""

CUSTOMER_ACTIONS: dict[str, ChangeType] = {
    "CUSTOMER_CREATE": "created",
    "CUSTOMER_UPDATE": "updated",
    "CUSTOMER_DELETE": "deleted",
}
PURCHASE_ORDER_ACTIONS: dict[str, ChangeType] = {"PURCHASE_RECEIVED": "updated"}


class _Reference(Struct, rename="pascal"):
    uid: RawId = None
    """The public id; the `RawId` beside it is internal and never used."""


class _Notice(Struct, rename="camel"):
    action: str
    tenant: _Reference | None = None
    store: _Reference | None = None
    customer: _Reference | None = None
    purchase_order: _Reference | None = None


_notices = msgspec.json.Decoder(_Notice)


class FlowRetail(BuiltInConnector):
    """Connector of one tenant; without `store_uid` it has customers only."""

    def __init__(self, account: str, config: FlowRetailConfig, dependencies: ConnectorDependencies) -> None:
        path = f"platforms.{account}.token"
        super().__init__(
            account,
            config,
            dependencies,
            FlowRetailClient,
            base_url=config.base_url,
            credentials=StaticHeaders(lambda: {"Authorization": f"Bearer {dependencies.secret(config.token, path)}"}),
            paths=config.paths,
            fixed={"tenant": config.tenant_uid} | ({"store": config.store_uid} if config.store_uid else {}),
        )
        self._tenant_uid = config.tenant_uid
        self._store_uid = config.store_uid
        self.client = FlowRetailClient(self._api)
        self._currency = TenantCurrency(self.client)

    def read(self, delivery: Delivery) -> tuple[Fact, ...]:
        """Parse an action of the tenant; an action of another store or of no known record has no record.

        Returns:
            One fact.

        Raises:
            Rejection: 422 `unrecognized_event`: no action, no id, or another tenant's; 400 `malformed_payload`.
        """
        notice = decode_delivery(_notices, delivery.body)
        if _uid(notice.tenant) not in {None, self._tenant_uid}:
            raise Rejection(422, "unrecognized_event", "The event is another tenant's: see /tenant/Uid.")
        if notice.action in CUSTOMER_ACTIONS:
            uid = required_id(_uid(notice.customer), "/customer/Uid")
            record = RecordRef(self.account, "customer", uid)
            return (Fact(notice.action, None, CUSTOMER_ACTIONS[notice.action], record),)
        ours = self._store_uid is not None and _uid(notice.store) in {None, self._store_uid}
        if notice.action in PURCHASE_ORDER_ACTIONS and ours:
            uid = required_id(_uid(notice.purchase_order), "/purchaseOrder/Uid")
            record = RecordRef(self.account, "purchase_order", uid)
            return (Fact(notice.action, None, PURCHASE_ORDER_ACTIONS[notice.action], record),)
        return (Fact(notice.action),)

    async def _reader(self, ref: RecordRef, context: CallContext) -> RecordReader:
        if ref.kind not in self._listed_kinds:
            raise unknown_kind(self.account, ref.kind)
        read = read_customer if ref.kind == "customer" else read_purchase_order
        currency = await self._currency.get(context)
        return lambda reply: read(reply, ref.id, currency)

    async def _list(self, kind: str, cursor: str | None, context: CallContext) -> RecordPage:
        """List customers or purchase orders, latest change first.

        Sorting by `lastModifiedAt` is inferred. Only a page in this order allows a poll to stop early.

        Returns:
            The page.
        """
        paging = Paging(
            page_number=int(cursor or 1), page_size=LISTED_MAX, sort_by="lastModifiedAt", sort_direction="DESC"
        )
        is_customer = kind == "customer"
        list_page = self.client.list_customers if is_customer else self.client.list_purchase_orders
        page = await list_page(paging=paging, context=context)
        id_key = "customerUid" if is_customer else "purchaseOrderUid"
        items = await self._entries(page, lambda node: _listed(self._map.place(kind, node), id_key), id_key)
        versions = [item.version or "" for item in items]
        in_order = bool(items) and all(versions) and versions == sorted(versions, reverse=True)
        return RecordPage(items, page.next, None if in_order else page.next)

    @staticmethod
    def sample_delivery(request: SampleRequest, config: FlowRetailConfig) -> dict[str, Any]:
        """Build the body of a sample delivery; `event` is an action, such as `CUSTOMER_UPDATE`."""
        noun = "purchaseOrder" if request.event.startswith("PURCHASE") else "customer"
        return {"action": request.event, "tenant": {"Uid": config.tenant_uid}, noun: {"Uid": request.id}}


def _listed(node: JsonObject, id_key: str) -> ListedRecord:
    return ListedRecord(text(node, id_key) or "", record_version(modified_at(node)), listed_digest(node), watched=False)


def _uid(reference: _Reference | None) -> str | None:
    return None if reference is None or reference.uid is None else str(reference.uid)
