"""Actions that send to a destination of their own kind: the fields that they share."""

from typing import Annotated

from msgspec import Meta, field

from service.actions import Action, RetrySafety

DestinationName = Annotated[
    str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}\Z", description="the name of a destination in waybill.yaml")
]


class DestinationAction(Action, frozen=True, kw_only=True):
    """Action with a destination. `repeat: unsafe` is for messages of which a second one does harm."""

    destination: DestinationName
    safety: RetrySafety = field(name="repeat", default="keyed")

    @property
    def retry_safety(self) -> RetrySafety:
        """Retry safety that the rule declares."""
        return self.safety
