"""`do: webhook`: send a signed event to a subscriber, or forward the delivery as it was received.

Both are signed by the destination (Standard Webhooks). The id of the signature is the idempotency key, so that a
subscriber recognizes a repeated request. Credentials and signatures of the sender are not stored, so they are not
forwarded.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta, field

from service.actions import (
    JSON_STYLES,
    ActionContext,
    CompileTemplate,
    JsonNumbers,
    TemplateRenderer,
)
from service.destinations.action import DestinationAction
from service.destinations.http.config import RESERVED_HEADERS
from service.destinations.http.request import SendContext
from service.destinations.webhook import WebhookDestination
from service.errors import ConfigError
from service.events import received_at_ms
from service.http_client import HttpResponse

JSON_TYPE = "application/json"


class Webhook(DestinationAction, frozen=True, kw_only=True, tag="webhook"):
    """`send: decision` sends an event with `type` and `data`: event, record and rule, and the template `values`.

    `send: delivery` forwards the bytes of the delivery with its content type and its stored headers.
    """

    target: ClassVar[type] = WebhookDestination
    requires_admin: ClassVar[bool] = True
    summary: ClassVar[str] = "Sends a signed event, or the original delivery, to a subscriber."

    content: Literal["decision", "delivery"] = field(name="send", default="decision")
    type: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*\Z", max_length=100, description="words separated by dots")
    ] = "rule.matched"
    values: Any = None
    json: JsonNumbers = "number"

    def compile(self, compile_template: CompileTemplate) -> TemplateRenderer:
        """Compile the template of the values.

        Returns:
            A renderer of the inputs of `run`.

        Raises:
            ConfigError: `values` with `send: delivery`.
        """
        constant = {"destination": self.destination, "send": self.content}
        if self.content == "delivery":
            if self.values is not None:
                raise ConfigError("values", "contradicts send: delivery", "remove it, or write send: decision")
            return lambda _scope: constant
        values = compile_template("values", self.values, JSON_STYLES[self.json])
        return lambda scope: {**constant, "type": self.type, "values": values(scope)}

    @classmethod
    async def send(
        cls, destination: WebhookDestination, inputs: Mapping[str, Any], context: ActionContext, call: SendContext, /
    ) -> HttpResponse:
        """Send the event or the delivery."""
        if inputs["send"] == "decision":
            body = msgspec.json.encode(_decision(inputs, context))
            return await destination.send(body, {}, JSON_TYPE, call)
        event = context.event
        headers = {name: value for name, value in event.headers.items() if name not in RESERVED_HEADERS}
        return await destination.send(event.body, headers, headers.get("content-type", JSON_TYPE), call)


def _decision(inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    event = context.event
    names = ("id", "source", "type", "change", "occurred_at", "sender_id")
    data: dict[str, Any] = {
        "event": {name: getattr(event, name) for name in names if getattr(event, name) is not None},
        "record": {name: getattr(event.record, name) for name in ("platform", "kind", "id")},
        "rule": context.rule,
        "action": context.action,
    }
    if inputs["values"] is not None:
        data["values"] = inputs["values"]
    received = received_at_ms(event.id)  # the same in every attempt; the id of a derived event has no time
    at = datetime.now(UTC) if received is None else datetime.fromtimestamp(received / 1000, UTC)
    return {"type": inputs["type"], "timestamp": at, "data": data}
