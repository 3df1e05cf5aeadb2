"""`do: email`: send a text message by an `email` destination."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from service.actions import ActionContext, CompileTemplate, TemplateRenderer
from service.destinations.action import DestinationAction
from service.destinations.email import EmailDestination
from service.destinations.email.destination import SmtpAnswer
from service.destinations.email.message import Mail
from service.destinations.http.request import SendContext

RECIPIENTS_MAX = 20
Recipient = Annotated[str, Meta(min_length=1, max_length=500)]
"""A template of one address."""


class Email(DestinationAction, frozen=True, kw_only=True, tag="email"):
    """`to` are templates of addresses, `subject` and `text` templates of text. All recipients see each other.

    The message is sent to all recipients or to none.
    """

    target: ClassVar[type] = EmailDestination
    status_name: ClassVar[str] = "smtp_code"
    requires_admin: ClassVar[bool] = True
    summary: ClassVar[str] = "Sends an email."

    to: Annotated[tuple[Recipient, ...], Meta(min_length=1, max_length=RECIPIENTS_MAX, description="1 to 20 addresses")]
    subject: Annotated[str, Meta(min_length=1, max_length=500)]
    text: Annotated[str, Meta(min_length=1)]

    def compile(self, compile_template: CompileTemplate) -> TemplateRenderer:
        """Compile the templates of recipients, subject and text.

        Returns:
            A renderer of the inputs of `run`.
        """
        renders = {name: compile_template(name, getattr(self, name), "text") for name in ("to", "subject", "text")}
        return lambda scope: {
            "destination": self.destination,
            **{name: render(scope) for name, render in renders.items()},
        }

    @classmethod
    async def send(
        cls, destination: EmailDestination, inputs: Mapping[str, Any], context: ActionContext, call: SendContext, /
    ) -> SmtpAnswer:
        """Send the message."""
        mail = Mail(to=inputs["to"], subject=inputs["subject"], text=inputs["text"], key=context.idempotency_key)
        return await destination.send(mail, call)
