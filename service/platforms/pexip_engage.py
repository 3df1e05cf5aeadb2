"""Pexip Engage: customers of one enterprise.

It announces appointments and callback requests, never customers: those are hints, and lead to the customer who takes
part. A customer with `deletedAt` is deleted although it is still returned. Success is always `{"data": {…}}`. How a
callback request names its customer is not documented; `customer.id` is assumed, after the way it names other things.
"""

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from service.errors import Refusal
from service.events import Delivery, Fact, RecordRef
from service.outbound import Outbound
from service.platforms.answers import Reply
from service.platforms.base import FetchContext, Fetched
from service.platforms.credentials import ClientCredentials
from service.platforms.decoding import own_id, unwrap
from service.platforms.deliveries import Id, decode_delivery, optional_id, required_id
from service.platforms.http import Calls, fetch_one, segment, unknown_kind
from service.platforms.reading import Node, child, children, inside, moment, text
from service.records import Address, Customer, Moment

BASE_URL = "https://api.pexipengage.com"
TOKEN_URL = "https://auth.pexipengage.com/realms/{enterprise}/protocol/openid-connect/token"  # noqa: S105 - an address
SCOPE = "engage:customers:readOnly engage:appointments:readOnly engage:callbackRequests:readOnly"
CORRELATION_ID_CHARACTERS_MAX = 36

FOLDERS = {"customer": "customers", "appointment": "appointments", "callback_request": "callback-requests"}
ENTITIES = {"Appointment": "appointment", "Callback Request": "callback_request"}


class _Subject(Struct, rename="camel"):
    id: Id = None
    updated_at: Any = None


class _Data(Struct, rename="camel"):
    event_type: str | None = None
    appointment: _Subject | None = None
    callback_request: _Subject | None = None


class _Notice(Struct):
    entity: str
    id: Id = None
    data: _Data | None = None


_notices = msgspec.json.Decoder(_Notice)


class PexipEngage:
    """One enterprise; `enterprise` is the slug in its URLs, `language` what it answers in."""

    def __init__(  # noqa: PLR0913 - what the operator configures, by name
        self,
        account: str,
        outbound: Outbound,
        *,
        enterprise: str,
        client_id: str,
        client_secret: str,
        scope: str = SCOPE,
        language: str = "en",
        base_url: str = BASE_URL,
        token_url: str | None = None,
    ) -> None:
        self.account = account
        self._root = f"/enterprises/{segment(enterprise)}"
        self._language = language
        credentials = ClientCredentials(
            account,
            outbound,
            token_url=token_url or TOKEN_URL.format(enterprise=segment(enterprise)),
            client_id=client_id,
            client_secret=client_secret,
            scope=scope,
        )
        self._calls = Calls(account, base_url, outbound, credentials)

    def read(self, delivery: Delivery) -> tuple[Fact, ...]:
        """Read an event; a ping, and an entity that leads to no customer, is a fact without a record.

        Raises:
            Refusal: 422 `not_an_event`, 400 `unparsable`.
        """
        notice = decode_delivery(_notices, delivery.body)
        event_id, kind, data = optional_id(notice.id), ENTITIES.get(notice.entity), notice.data
        if kind is None:
            return (Fact(notice.entity, event_id),)
        subject = None if data is None else data.appointment if kind == "appointment" else data.callback_request
        if data is None or subject is None:
            raise Refusal(422, "not_an_event", f"the event does not name its {kind}")
        record = RecordRef(self.account, kind, required_id(subject.id, kind))
        occurred_at = subject.updated_at if isinstance(subject.updated_at, str) else None
        name = f"{notice.entity}.{data.event_type}" if data.event_type else notice.entity
        return (Fact(name, event_id, "touched", record, occurred_at),)

    async def resolve(self, ref: RecordRef, context: FetchContext) -> tuple[RecordRef, ...]:
        """Follow an appointment or a callback request to its customers.

        Raises:
            TransientError: waiting helps.
            PermanentError: it does not.
        """
        if ref.kind not in ENTITIES.values():
            return (ref,)
        path = f"{self._root}/{FOLDERS[ref.kind]}/{segment(ref.id)}"
        reply = await self._calls.get(f"pexip_engage.{ref.kind}.get", path, context, self._headers(context))
        if reply.gone:
            return ()
        node = unwrap(reply.data, reply.status, wrapped=True)
        ids = _participants(node) if ref.kind == "appointment" else [text(inside(node, "customer"), "id")]
        return tuple(RecordRef(self.account, "customer", item) for item in dict.fromkeys(ids) if item)

    async def fetch(self, ref: RecordRef, context: FetchContext) -> Fetched:
        """Ask for a customer.

        Raises:
            TransientError: waiting helps.
            PermanentError: it does not.
        """
        if ref.kind != "customer":
            raise unknown_kind(self.account, ref.kind)
        return await fetch_one(
            self._calls,
            "pexip_engage.customer.get",
            f"{self._root}/customers/{segment(ref.id)}",
            context,
            asked=ref.id,
            read=_read_customer,
            headers=self._headers(context),
        )

    def _headers(self, context: FetchContext) -> dict[str, str]:
        """The sender's correlation id goes on if it may; else ours, which is 32 characters."""
        own = context.correlation_id or ""
        fits = own.isascii() and own.isprintable() and 0 < len(own) <= CORRELATION_ID_CHARACTERS_MAX
        return {"Accept-Language": self._language, "X-Correlation-Id": own if fits else context.event_id}


def _participants(appointment: Node) -> list[str | UnsetType | None]:
    """That a customer takes part with type CUSTOMER is inferred: the documentation shows employees only."""
    participants = children(appointment, "appointmentParticipants") or ()
    return [text(inside(item, "participant"), "id") for item in participants if item.get("type") == "CUSTOMER"]


def _read_customer(reply: Reply) -> tuple[Node, Customer, Moment]:
    node = unwrap(reply.data, reply.status, wrapped=True)
    record = Customer(
        id=own_id(node.get("id"), reply.status),
        reference=text(node, "customerNumber"),
        external_id=text(node, "externalId"),
        company_name=text(node, "company"),
        first_name=text(node, "firstName"),
        last_name=text(node, "lastName"),
        email=text(node, "email"),
        phone=text(node, "phoneNumber"),
        language=text(node, "language"),
        billing_address=_address(node),
        created_at=moment(node, "createdAt"),
        updated_at=moment(node, "updatedAt"),
        deleted_at=moment(node, "deletedAt"),
    )
    return node, record, record.updated_at


def _address(node: Node) -> Address | UnsetType | None:
    """The customer's one location; its parts come in the language that was asked for."""
    location = child(node, "location")
    if location is None or location is UNSET:
        return location
    return Address(
        street=text(inside(location, "street1"), "value"),
        postal_code=text(location, "postalCode"),
        city=text(inside(location, "city"), "value"),
        country_code=text(location, "countryCode"),
    )
