"""Open Food Network (API v1): customers of one instance.

Its webhooks tell of payments and order cycles. A payment names an order, which the older v0 API leads on to the
customer; an order cycle is about no customer. A customer has no modification moment, so states are told apart by digest
alone. Errors inside the instance are answered 422, hence on a GET a 422 may pass.
"""

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from service.events import Delivery, Fact, RecordRef
from service.outbound import Outbound
from service.platforms.answers import Reply
from service.platforms.base import FetchContext, Fetched
from service.platforms.credentials import StaticHeaders
from service.platforms.decoding import own_id, unwrap
from service.platforms.deliveries import Id, decode_delivery, optional_id, required_id
from service.platforms.http import Calls, fetch_one, segment, unknown_kind
from service.platforms.reading import EMPTY, Node, as_tags, child, inside, text
from service.records import Address, Customer, Moment

TEST_ORDER = ("R555555555", "TEST Enterprise")
"""What the "test webhook" button always sends: no payment at all."""


class _Order(Struct):
    number: Id = None


class _Enterprise(Struct):
    name: Any = None


class _Data(Struct):
    order: _Order | None = None
    enterprise: _Enterprise | None = None


class _Notice(Struct):
    event: str
    id: Id = None
    at: Any = None
    data: _Data | None = None


_notices = msgspec.json.Decoder(_Notice)


class OpenFoodNetwork:
    """One instance, such as `https://ofn.example.org`, with a user's API key."""

    def __init__(self, account: str, outbound: Outbound, *, base_url: str, token: str) -> None:
        self.account = account
        credentials = StaticHeaders({"X-Api-Token": token})
        self._calls = Calls(account, base_url, outbound, credentials, transient=frozenset({422}))

    def read(self, delivery: Delivery) -> tuple[Fact, ...]:
        """Read an event; all but a real payment of a named order are facts without a record.

        Raises:
            Refusal: 422 `not_an_event`, 400 `unparsable`.
        """
        notice = decode_delivery(_notices, delivery.body)
        event_id, at = optional_id(notice.id), notice.at if isinstance(notice.at, str) else None
        data = notice.data or _Data()
        number = data.order.number if data.order else None
        tried = (number, data.enterprise.name if data.enterprise else None) == TEST_ORDER
        if not notice.event.startswith("payment.") or tried or number is None:
            return (Fact(notice.event, event_id, occurred_at=at),)
        record = RecordRef(self.account, "order", required_id(number, "order"))
        return (Fact(notice.event, event_id, "touched", record, at),)

    async def resolve(self, ref: RecordRef, context: FetchContext) -> tuple[RecordRef, ...]:
        """Follow an order's number to its customer.

        Raises:
            TransientError: waiting helps.
            PermanentError: it does not.
        """
        if ref.kind != "order":
            return (ref,)
        reply = await self._calls.get("open_food_network.order.get", f"/api/v0/orders/{segment(ref.id)}", context)
        if reply.gone:
            return ()
        customer = text(unwrap(reply.data, reply.status, wrapped=False), "customer_id")
        return (RecordRef(self.account, "customer", customer),) if customer else ()

    async def fetch(self, ref: RecordRef, context: FetchContext) -> Fetched:
        """Ask for a customer.

        Raises:
            TransientError: waiting helps.
            PermanentError: it does not.
        """
        if ref.kind != "customer":
            raise unknown_kind(self.account, ref.kind)
        path, operation = f"/api/v1/customers/{segment(ref.id)}", "open_food_network.customer.get"
        return await fetch_one(self._calls, operation, path, context, asked=ref.id, read=_read_customer)


def _read_customer(reply: Reply) -> tuple[Node, Customer, Moment]:
    """The balance has no currency here, so it is no money; rules find the number under `raw.attributes.balance`."""
    node = unwrap(reply.data, reply.status, wrapped=True)
    attributes = inside(node, "attributes")
    record = Customer(
        id=own_id(node.get("id"), reply.status),
        reference=text(attributes, "code"),
        first_name=text(attributes, "first_name"),
        last_name=text(attributes, "last_name"),
        email=text(attributes, "email"),
        tags=as_tags(attributes.get("tags", UNSET)),
        billing_address=_address(attributes, "billing_address"),
        shipping_address=_address(attributes, "shipping_address"),
    )
    return node, record, None


def _address(attributes: Node, key: str) -> Address | UnsetType | None:
    node = child(attributes, key)
    if node is None or node is UNSET:
        return node
    names = [name for name in (text(node, "first_name"), text(node, "last_name")) if name]
    return Address(
        name=" ".join(names) if names else UNSET,
        street=text(node, "street_address_1"),
        postal_code=text(node, "postal_code"),
        city=text(node, "locality"),
        state_code=text(child(node, "region") or EMPTY, "code"),
        country_code=text(child(node, "country") or EMPTY, "code"),
        phone=text(node, "phone"),
    )
