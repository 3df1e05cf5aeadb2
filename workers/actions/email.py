"""`do: email`: send a text message by an `email` destination."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from service.actions import ActionContext, CompileTemplate, RetrySafety, TemplateRenderer
from service.destinations.action import DestinationAction
from service.destinations.email import EmailDestination
from service.destinations.email.message import Mail
from service.destinations.http.request import SendContext
from service.destinations.registry import Destinations

RECIPIENTS_MAX = 20
Recipient = Annotated[str, Meta(min_length=1, max_length=500)]
"""A template of one address."""


class Email(DestinationAction, frozen=True, kw_only=True, tag="email"):
    """`to` are templates of addresses, `subject` and `text` templates of text. All recipients see each other.

    The message is sent to all recipients or to none.
    """

    repeat: ClassVar[RetrySafety] = "keyed"
    requires_admin: ClassVar[bool] = True
    summary: ClassVar[str] = "Sends an email."

    to: Annotated[tuple[Recipient, ...], Meta(min_length=1, max_length=RECIPIENTS_MAX, description="1 to 20 addresses")]
    subject: Annotated[str, Meta(min_length=1, max_length=500)]
    text: Annotated[str, Meta(min_length=1)]

    def compile(self, compile_template: CompileTemplate) -> TemplateRenderer:
        """Compile the templates of recipients, subject and text.

        Args:
            compile_template: Compiles one template.

        Returns:
            A renderer of the inputs of `run`.
        """
        renders = {name: compile_template(name, getattr(self, name), "text") for name in ("to", "subject", "text")}
        return lambda scope: {
            "destination": self.destination,
            **{name: render(scope) for name, render in renders.items()},
        }

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """Send the message.

        Args:
            inputs: The rendered inputs.
            context: The context of the effect.

        Returns:
            `smtp_code` and `duration_ms`.
        """
        destinations: Destinations = context.resource("destinations")
        server = destinations.find(inputs["destination"], EmailDestination)
        mail = Mail(to=inputs["to"], subject=inputs["subject"], text=inputs["text"], key=context.idempotency_key)
        code, duration_ms = await server.send(mail, SendContext.of(context))
        return {"smtp_code": code, "duration_ms": round(duration_ms, 1)}
