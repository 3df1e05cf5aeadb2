"""Actions that send to a destination of their own kind: their common fields, and their run."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from msgspec import Meta, field

from service.actions import Action, ActionContext, RetrySafety
from service.destinations.email.destination import SmtpAnswer
from service.destinations.http.request import SendContext
from service.destinations.registry import Destinations
from service.http_client import HttpResponse

DestinationName = Annotated[
    str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}\Z", description="the name of a destination in waybill.yaml")
]


class DestinationAction(Action, frozen=True, kw_only=True):
    """Action with a destination. `repeat: unsafe` is for messages of which a second one does harm."""

    repeat: ClassVar[RetrySafety] = "keyed"
    target: ClassVar[type[Any]]
    """Class of the destinations of its kind."""
    status_name: ClassVar[str] = "http_status"
    """Name of the status in the history."""

    destination: DestinationName
    safety: RetrySafety = field(name="repeat", default="keyed")

    @property
    def retry_safety(self) -> RetrySafety:
        """Retry safety that the rule declares."""
        return self.safety

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """Find the destination and send.

        Returns:
            The status and `duration_ms`.
        """
        destination = cls.find(context.resource("destinations"), inputs)
        answer = await cls.send(destination, inputs, context, SendContext.of(context))
        return {cls.status_name: answer.status, "duration_ms": round(answer.duration_ms, 1)}

    @classmethod
    def find(cls, destinations: Destinations, inputs: Mapping[str, Any]) -> Any:  # noqa: ANN401 - of class `target`
        """Return the destination of rendered inputs.

        Raises:
            TransientError, PermanentError: As `Destinations.find`.
        """
        return destinations.find(inputs["destination"], cls.target)

    @classmethod
    async def send(
        cls,
        destination: Any,  # noqa: ANN401 - of class `target`
        inputs: Mapping[str, Any],
        context: ActionContext,
        call: SendContext,
        /,
    ) -> HttpResponse | SmtpAnswer:
        """Send the rendered inputs to the destination. `call` is the attempt.

        Raises:
            TransientError, PermanentError, Deferred: As the destination.
            NotImplementedError: The subclass has no `send`.
        """
        raise NotImplementedError(f"{cls.__name__}.send is missing: implement it")
