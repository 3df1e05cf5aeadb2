"""Connector of Open Food Network (API v1): customers of one instance.

Webhooks are about payments and order cycles. A payment names an order, and API v0 leads from the order to the customer.
A customer has no modification time, so a digest detects changes. The instance answers internal errors with 422, so a
422 to a GET is transient.
"""

from typing import Any

import msgspec
from msgspec import Struct

from service.events import Delivery, Fact, RecordRef
from service.platforms.api.coercion import JsonObject, text
from service.platforms.api.credentials import StaticHeaders
from service.platforms.api.decoding import listed_digest
from service.platforms.api.deliveries import RawId, decode_delivery, optional_id, required_id
from service.platforms.base import CallContext, ListedRecord, RecordPage
from service.platforms.built_in_connector import BuiltInConnector
from service.platforms.kind import ConnectorDependencies, SampleRequest
from service.platforms.open_food_network.client import CUSTOMER, OpenFoodNetworkClient
from service.platforms.open_food_network.config import OpenFoodNetworkConfig

TEST_ORDER = ("R555555555", "TEST Enterprise")
"""Order of every delivery of the "test webhook" button, which is about no payment."""


class _Order(Struct):
    number: RawId = None


class _Enterprise(Struct):
    name: Any = None


class _Data(Struct):
    order: _Order | None = None
    enterprise: _Enterprise | None = None


class _Notice(Struct):
    event: str
    id: RawId = None
    at: Any = None
    data: _Data | None = None


_notices = msgspec.json.Decoder(_Notice)


class OpenFoodNetwork(BuiltInConnector):
    """Connector of one instance, such as `https://ofn.example.org`, with a user's API key."""

    readers = {"customer": CUSTOMER.read}  # noqa: RUF012 - a table
    typed_readers = {"customer": CUSTOMER.read_typed}  # noqa: RUF012 - a table

    def __init__(self, account: str, config: OpenFoodNetworkConfig, dependencies: ConnectorDependencies) -> None:
        path = f"platforms.{account}.token"
        super().__init__(
            account,
            config,
            dependencies,
            OpenFoodNetworkClient,
            base_url=config.base_url,
            credentials=StaticHeaders(lambda: {"X-Api-Token": dependencies.secret(config.token, path)}),
            read_transient=frozenset({422}),
        )
        self.client = OpenFoodNetworkClient(self._api)

    def read(self, delivery: Delivery) -> tuple[Fact, ...]:
        """Parse an event; only a real payment with an order's number is a fact with a record.

        Returns:
            One fact.

        Raises:
            Rejection: 422 `unrecognized_event`, 400 `malformed_payload`.
        """
        notice = decode_delivery(_notices, delivery.body)
        event_id, at = optional_id(notice.id), notice.at if isinstance(notice.at, str) else None
        data = notice.data or _Data()
        number = data.order.number if data.order else None
        tried = (number, data.enterprise.name if data.enterprise else None) == TEST_ORDER
        if not notice.event.startswith("payment.") or tried or number is None:
            return (Fact(notice.event, event_id, occurred_at=at),)
        record = RecordRef(self.account, "order", required_id(number, "/data/order/number"))
        return (Fact(notice.event, event_id, "changed", record, at),)

    async def resolve(self, ref: RecordRef, context: CallContext) -> tuple[RecordRef, ...]:
        """Return the customer of an order."""
        if ref.kind != "order":
            return (ref,)
        order = await self.client.get_order(ref.id, context)
        return self._customers([text(order or {}, "customer_id")])

    async def _list(self, _kind: str, cursor: str | None, context: CallContext) -> RecordPage:
        """List all customers; they have no modification time, so a poll compares digests."""
        page = await self.client.list_customers(page=int(cursor or 1), context=context)
        return RecordPage(await self._entries(page, _listed), page.next, page.next)

    @staticmethod
    def sample_delivery(request: SampleRequest, _config: OpenFoodNetworkConfig) -> dict[str, Any]:
        """Build the body of a sample delivery; `id` is an order's number."""
        data = {"order": {"number": request.id}}
        return {"id": request.event_id, "at": request.at, "event": request.event, "data": data}


def _listed(node: JsonObject) -> ListedRecord:
    return ListedRecord(text(node, "id") or "", None, listed_digest(node))
