"""Connector of Pexip Engage: customers of one enterprise.

Webhooks are about appointments and callback requests, never customers: these are hints that lead to the customer. A
customer with `deletedAt` is deleted although it is still returned. The customer of a callback request is not
documented; `customer.id` follows the names of related resources.
"""

from typing import Any

import msgspec
from msgspec import Struct

from service.events import Delivery, Fact, RecordRef, new_event_id
from service.platforms.api.calls import segment
from service.platforms.api.coercion import JsonObject, nested, record_version, text, timestamp
from service.platforms.api.credentials import ClientCredentials
from service.platforms.api.decoding import listed_digest
from service.platforms.api.deliveries import RawId, decode_delivery, optional_id, required_id
from service.platforms.base import CallContext, ListedRecord, RecordPage
from service.platforms.built_in_connector import BuiltInConnector
from service.platforms.kind import ConnectorDependencies, SampleRequest
from service.platforms.pexip_engage.client import CUSTOMER, PexipEngageClient, customers_of
from service.platforms.pexip_engage.config import PexipEngageConfig

TOKEN_URL = "https://auth.pexipengage.com/realms/{enterprise}/protocol/openid-connect/token"  # noqa: S105 - an address
CORRELATION_ID_CHARACTERS_MAX = 36

LISTED_MAX = 100
"""Customers on one page of a poll; the documentation names a default of 25 and no maximum."""

ENTITIES = {"Appointment": "appointment", "Callback Request": "callback_request"}


class _Subject(Struct, rename="camel"):
    id: RawId = None
    updated_at: Any = None


class _Data(Struct, rename="camel"):
    event_type: str | None = None
    appointment: _Subject | None = None
    callback_request: _Subject | None = None


class _Notice(Struct, rename="camel"):
    entity: str
    id: RawId = None
    correlation_id: Any = None
    data: _Data | None = None


_notices = msgspec.json.Decoder(_Notice)


class PexipEngage(BuiltInConnector):
    """Connector of one enterprise on Pexip Engage."""

    readers = {"customer": CUSTOMER.read}  # noqa: RUF012 - a table
    typed_readers = {"customer": CUSTOMER.read_typed}  # noqa: RUF012 - a table

    def __init__(self, account: str, config: PexipEngageConfig, dependencies: ConnectorDependencies) -> None:
        credentials = ClientCredentials(
            account,
            dependencies.http_client,
            token_url=config.token_url or TOKEN_URL.format(enterprise=segment(config.enterprise)),
            read_secrets=lambda: (
                dependencies.secret(config.client_id, f"platforms.{account}.client_id"),
                dependencies.secret(config.client_secret, f"platforms.{account}.client_secret"),
            ),
            scope=config.scope,
            token_cache=dependencies.token_cache,
        )
        super().__init__(
            account,
            config,
            dependencies,
            PexipEngageClient,
            base_url=config.base_url,
            credentials=credentials,
            paths=config.paths,
            fixed={"enterprise": config.enterprise},
            headers=self._headers,
        )
        self._language = config.language
        self.client = PexipEngageClient(self._api)

    def read(self, delivery: Delivery) -> tuple[Fact, ...]:
        """Parse an event; a ping, or an entity without a customer, is a fact without a record.

        Returns:
            One fact.

        Raises:
            Rejection: 422 `unrecognized_event`, 400 `malformed_payload`.
        """
        notice = decode_delivery(_notices, delivery.body)
        event_id, kind, data = optional_id(notice.id), ENTITIES.get(notice.entity), notice.data
        correlation_id = notice.correlation_id if isinstance(notice.correlation_id, str) else None
        if kind is None:
            return (Fact(notice.entity, event_id, correlation_id=correlation_id),)
        data = data or _Data()
        subject = (data.appointment if kind == "appointment" else data.callback_request) or _Subject()
        place = "/data/appointment/id" if kind == "appointment" else "/data/callbackRequest/id"
        record = RecordRef(self.account, kind, required_id(subject.id, place))
        occurred_at = subject.updated_at if isinstance(subject.updated_at, str) else None
        name = f"{notice.entity}.{data.event_type}" if data.event_type else notice.entity
        return (Fact(name, event_id, "changed", record, occurred_at, correlation_id=correlation_id),)

    async def resolve(self, ref: RecordRef, context: CallContext) -> tuple[RecordRef, ...]:
        """Return the customers of an appointment or of a callback request."""
        if ref.kind == "appointment":
            appointment = await self.client.get_appointment(ref.id, context)
            ids = [] if appointment is None else customers_of(appointment)
        elif ref.kind == "callback_request":
            callback = await self.client.get_callback_request(ref.id, context)
            ids = [] if callback is None else [text(nested(callback, "customer"), "id")]
        else:
            return (ref,)
        return self._customers(ids)

    async def _list(self, kind: str, cursor: str | None, context: CallContext) -> RecordPage:
        """List all customers; neither an order nor a filter by change is documented, so a poll reads every page."""
        page = await self.client.list_customers(int(cursor or 0), LISTED_MAX, context)
        items = await self._entries(page, lambda node: _listed(self._map.place(kind, node)))
        return RecordPage(items, page.next, page.next)

    def _headers(self, context: CallContext) -> dict[str, str]:
        """Return the language and a correlation id: that of the context, else the event's id, else a new id."""
        sent = context.correlation_id or ""
        fits = sent.isascii() and sent.isprintable() and 0 < len(sent) <= CORRELATION_ID_CHARACTERS_MAX
        correlation_id = sent if fits else context.event_id or new_event_id()
        return {"Accept-Language": self._language, "X-Correlation-Id": correlation_id}

    @staticmethod
    def sample_delivery(request: SampleRequest, _config: PexipEngageConfig) -> dict[str, Any]:
        """Build the body of a sample delivery; `event` is kind and event type, such as `Appointment.update`."""
        sender_kind, _, event_type = request.event.partition(".")
        key = "callbackRequest" if sender_kind == "Callback Request" else "appointment"
        data = {"eventType": event_type, key: {"id": request.id, "updatedAt": request.at}}
        return {"id": request.event_id, "correlationId": request.event_id, "entity": sender_kind, "data": data}


def _listed(node: JsonObject) -> ListedRecord:
    deleted = bool(text(node, "deletedAt"))
    return ListedRecord(
        text(node, "id") or "", record_version(timestamp(node, "updatedAt")), listed_digest(node), deleted
    )
