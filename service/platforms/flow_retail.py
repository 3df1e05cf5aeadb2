"""Flow Retail (API v2): customers of one tenant and purchase orders of one of its stores.

Webhooks carry an action and references only, with neither event id nor moment. Amounts and quantities are whole numbers
with two implied decimals; the currency is the tenant's and stands on the tenant alone. The paths of a single customer
and a single purchase order, and the name of the latter in a webhook, follow the documented pattern of their neighbours.
"""

import msgspec
from msgspec import Struct

from service.errors import Refusal
from service.events import Change, Delivery, Fact, RecordRef
from service.outbound import Outbound
from service.platforms.answers import Reply
from service.platforms.base import FetchContext, Fetched
from service.platforms.credentials import StaticHeaders
from service.platforms.deliveries import Id, decode_delivery, required_id
from service.platforms.flow_retail_records import read_customer, read_purchase_order
from service.platforms.flow_retail_tenant import TenantCurrency
from service.platforms.http import Calls, fetch_one, segment, unknown_kind
from service.platforms.reading import Node
from service.records import Moment, Record

BASE_URL = "https://api.flowretail.com/v2"

CUSTOMER_ACTIONS: dict[str, Change] = {
    "CUSTOMER_CREATE": "created",
    "CUSTOMER_UPDATE": "updated",
    "CUSTOMER_DELETE": "deleted",
}
PURCHASE_ORDER_ACTIONS: dict[str, Change] = {"PURCHASE_RECEIVED": "updated"}


class _Reference(Struct, rename="pascal"):
    uid: Id = None
    """The public id; the `Id` beside it is internal and never used."""


class _Notice(Struct, rename="camel"):
    action: str
    tenant: _Reference | None = None
    store: _Reference | None = None
    customer: _Reference | None = None
    purchase_order: _Reference | None = None


_notices = msgspec.json.Decoder(_Notice)


class FlowRetail:
    """One tenant; without `store_uid` it has customers only."""

    def __init__(  # noqa: PLR0913 - what the operator configures, by name
        self,
        account: str,
        outbound: Outbound,
        *,
        tenant_uid: str,
        token: str,
        store_uid: str | None = None,
        base_url: str = BASE_URL,
    ) -> None:
        self.account = account
        self._tenant_uid = tenant_uid
        self._store_uid = store_uid
        self._root = f"/tenants/{segment(tenant_uid)}"
        self._calls = Calls(account, base_url, outbound, StaticHeaders({"Authorization": f"Bearer {token}"}))
        self._currency = TenantCurrency(self._calls, self._root)

    def read(self, delivery: Delivery) -> tuple[Fact, ...]:
        """Read an action of the tenant; those of other stores, and all without a record of ours, have none.

        Raises:
            Refusal: 422 `not_an_event`: no action, no id, or another tenant's; 400 `unparsable`.
        """
        notice = decode_delivery(_notices, delivery.body)
        if _uid(notice.tenant) not in {None, self._tenant_uid}:
            raise Refusal(422, "not_an_event", "the event is another tenant's")
        if notice.action in CUSTOMER_ACTIONS:
            uid = required_id(_uid(notice.customer), "customer")
            record = RecordRef(self.account, "customer", uid)
            return (Fact(notice.action, None, CUSTOMER_ACTIONS[notice.action], record),)
        ours = self._store_uid is not None and _uid(notice.store) in {None, self._store_uid}
        if notice.action in PURCHASE_ORDER_ACTIONS and ours:
            uid = required_id(_uid(notice.purchase_order), "purchase order")
            record = RecordRef(self.account, "purchase_order", uid)
            return (Fact(notice.action, None, PURCHASE_ORDER_ACTIONS[notice.action], record),)
        return (Fact(notice.action),)

    async def resolve(self, ref: RecordRef, context: FetchContext) -> tuple[RecordRef, ...]:  # noqa: ARG002 - the protocol's signature
        """Every event names its record itself."""
        return (ref,)

    async def fetch(self, ref: RecordRef, context: FetchContext) -> Fetched:
        """Ask for a customer or a purchase order.

        Raises:
            TransientError: waiting helps.
            PermanentError: it does not.
        """
        if ref.kind == "customer":
            operation, reader, path = "flow_retail.customer.get", read_customer, f"{self._root}/customers"
        elif ref.kind == "purchase_order" and self._store_uid is not None:
            path = f"{self._root}/stores/{segment(self._store_uid)}/purchase-orders"
            operation, reader = "flow_retail.purchase_order.get", read_purchase_order
        else:
            raise unknown_kind(self.account, ref.kind)
        path = f"{path}/{segment(ref.id)}"
        currency = await self._currency.get(context)

        def read(reply: Reply) -> tuple[Node, Record, Moment]:
            return reader(reply, ref.id, currency)

        return await fetch_one(self._calls, operation, path, context, asked=ref.id, read=read)


def _uid(reference: _Reference | None) -> str | None:
    return None if reference is None or reference.uid is None else str(reference.uid)
