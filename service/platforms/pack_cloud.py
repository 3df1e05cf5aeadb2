"""pack.cloud (REST v1): purchase orders and customers of one organization.

Its documentation names paths and fields but not the keys of nested objects, the envelope or the authentication, so an
answer may be bare or under `data`, everything nested is optional, and header and scheme of the token are configurable.
It documents webhooks for orders only, which are hints: an order leads to its customer. For the two records themselves
an integration may send the same shape, `{"event_code": "purchase_order.updated", "id": …, "data": {"id": …}}`.
"""

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from service.errors import Refusal
from service.events import Change, Delivery, Fact, RecordRef
from service.outbound import Outbound
from service.platforms.answers import Reply
from service.platforms.base import FetchContext, Fetched
from service.platforms.credentials import StaticHeaders
from service.platforms.decoding import own_id, unwrap
from service.platforms.deliveries import Id, decode_delivery, optional_id, required_id
from service.platforms.http import Calls, fetch_one, segment, unknown_kind
from service.platforms.reading import Node, child, children, moment, money, newest, quantity, text
from service.records import Address, Customer, Line, Moment, PurchaseOrder, Supplier

BASE_URL = "https://api.pack.cloud/v1"

NOUNS = {
    "order": "order",
    "orders": "order",  # the documentation's own example is spelt so, against its list of codes
    "purchase_order": "purchase_order",
    "purchase_orders": "purchase_order",
    "customer": "customer",
    "customers": "customer",
}
CHANGES: dict[str, Change] = {"created": "created", "updated": "updated", "deleted": "deleted"}


class _Subject(Struct):
    id: Id = None
    updated_at: Any = None


class _Notice(Struct):
    event_code: str
    id: Id = None
    data: _Subject | None = None
    occurred_at: Any = None
    organization_id: Any = None


_notices = msgspec.json.Decoder(_Notice)


class PackCloud:
    """One organization on pack.cloud; its token goes into `token_header`, right after `token_prefix`."""

    def __init__(  # noqa: PLR0913 - what the operator configures, by name
        self,
        account: str,
        outbound: Outbound,
        *,
        organization_id: str,
        token: str,
        base_url: str = BASE_URL,
        token_header: str = "Authorization",  # noqa: S107 - the header's name, no secret
        token_prefix: str = "Bearer ",  # noqa: S107 - the scheme's name, no secret
    ) -> None:
        self.account = account
        self._organization_id = organization_id
        self._root = f"/organizations/{segment(organization_id)}"
        self._calls = Calls(account, base_url, outbound, StaticHeaders({token_header: token_prefix + token}))

    def read(self, delivery: Delivery) -> tuple[Fact, ...]:
        """Read an event of the organization.

        Raises:
            Refusal: 422 `not_an_event`: no code, no id, or another organization's; 400 `unparsable`.
        """
        notice = decode_delivery(_notices, delivery.body)
        if notice.organization_id not in {None, self._organization_id}:
            raise Refusal(422, "not_an_event", "the event is another organization's")
        noun, _, verb = notice.event_code.partition(".")
        event_id, kind = optional_id(notice.id), NOUNS.get(noun)
        if kind is None:
            return (Fact(notice.event_code, event_id),)
        subject = notice.data or _Subject()
        record = RecordRef(self.account, kind, required_id(subject.id, kind))
        if kind == "order":
            return (Fact(notice.event_code, event_id, "touched", record),)
        occurred_at = next((at for at in (notice.occurred_at, subject.updated_at) if isinstance(at, str)), None)
        return (Fact(notice.event_code, event_id, CHANGES.get(verb, "touched"), record, occurred_at),)

    async def resolve(self, ref: RecordRef, context: FetchContext) -> tuple[RecordRef, ...]:
        """Follow an order to its customer; an order without one, or gone, leads nowhere.

        Raises:
            TransientError: waiting helps.
            PermanentError: it does not.
        """
        if ref.kind != "order":
            return (ref,)
        path = f"{self._root}/orders/{segment(ref.id)}"
        reply = await self._calls.get("pack_cloud.order.get", path, context)
        if reply.gone:
            return ()
        customer = text(unwrap(reply.data, reply.status, wrapped=None), "customer_id")
        return (RecordRef(self.account, "customer", customer),) if customer else ()

    async def fetch(self, ref: RecordRef, context: FetchContext) -> Fetched:
        """Ask for a purchase order or a customer.

        Raises:
            TransientError: waiting helps.
            PermanentError: it does not.
        """
        if ref.kind == "purchase_order":
            operation, folder, read = "pack_cloud.purchase_order.get", "purchase-orders", _read_purchase_order
        elif ref.kind == "customer":
            operation, folder, read = "pack_cloud.customer.get", "customers", _read_customer
        else:
            raise unknown_kind(self.account, ref.kind)
        path = f"{self._root}/{folder}/{segment(ref.id)}"
        return await fetch_one(self._calls, operation, path, context, asked=ref.id, read=read)


def _read_purchase_order(reply: Reply) -> tuple[Node, PurchaseOrder, Moment]:
    node = unwrap(reply.data, reply.status, wrapped=None)
    lines = children(node, "lines")
    record = PurchaseOrder(
        id=own_id(node.get("id"), reply.status),
        reference=text(node, "reference"),
        status=text(node, "status"),
        supplier=_supplier(node),
        lines=tuple(map(_line, lines)) if lines is not None and lines is not UNSET else lines,
        created_at=moment(node, "created_at"),
        updated_at=moment(node, "updated_at"),
    )
    return node, record, record.updated_at


def _read_customer(reply: Reply) -> tuple[Node, Customer, Moment]:
    """A customer has no moments, names or contacts of its own: those of its addresses stand for it."""
    node = unwrap(reply.data, reply.status, wrapped=None)
    billing = child(node, "billing_address")
    shipping = child(node, "shipping_address" if "shipping_address" in node else "recipient_address")
    own = billing or {}
    modified = newest(*(moment(address, "updated_at") for address in (billing, shipping) if address))
    record = Customer(
        id=own_id(node.get("id"), reply.status),
        reference=text(node, "reference"),
        company_name=text(own, "company_name"),
        email=text(own, "email"),
        phone=text(own, "phone"),
        vat_number=text(own, "vat"),
        billing_address=_address(billing),
        shipping_address=_address(shipping),
        orders_count=quantity(node, "orders_count"),
        updated_at=UNSET if modified is None else modified,
    )
    return node, record, modified


def _supplier(node: Node) -> Supplier | UnsetType | None:
    supplier = child(node, "supplier")
    if not supplier:
        return Supplier(id=text(node, "supplier_id")) if node.get("supplier_id") else UNSET
    return Supplier(id=text(supplier, "id"), name=text(supplier, "name"), reference=text(supplier, "reference"))


def _line(node: Node) -> Line:
    product = child(node, "product") or {}
    return Line(
        id=text(node, "id"),
        product_id=text(node, "product_id"),
        product_code=text(product, "code"),
        product_name=text(product, "name"),
        price=money(node, "price"),
        quantity_ordered=quantity(node, "quantity_ordered"),
        quantity_received=quantity(node, "quantity_received"),
    )


def _address(node: Node | UnsetType | None) -> Address | UnsetType | None:
    if node is None or node is UNSET:
        return node
    return Address(
        company_name=text(node, "company_name"),
        name=text(node, "name"),
        street=text(node, "address"),
        house_number=text(node, "house_number"),
        postal_code=text(node, "postal_code"),
        city=text(node, "city"),
        state_code=text(node, "state_code"),
        country_code=text(node, "country_code"),
        email=text(node, "email"),
        phone=text(node, "phone"),
    )
