"""`do: teams`: post an Adaptive Card to the channel or chat of a `teams` destination."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from msgspec import Meta, field

from service.actions import ActionContext, CompileTemplate, TemplateRenderer
from service.destinations.action import DestinationAction
from service.destinations.http.request import SendContext
from service.destinations.teams import TeamsDestination
from service.destinations.teams.card import build_card, wrap_card
from service.errors import ConfigError
from service.http_client import HttpResponse


class Teams(DestinationAction, frozen=True, kw_only=True, tag="teams"):
    """Either `text` with `title` and `facts`, shown as they are, or `card`: a whole Adaptive Card with placeholders.

    `facts` are lines of name and value below the text.
    """

    target: ClassVar[type] = TeamsDestination
    summary: ClassVar[str] = "Posts a card to a channel or chat of Microsoft Teams."

    title: Annotated[str, Meta(min_length=1)] | None = None
    text: Annotated[str, Meta(min_length=1)] | None = None
    facts: dict[str, str] = field(default_factory=dict[str, str])
    card: dict[str, Any] | None = None

    def compile(self, compile_template: CompileTemplate) -> TemplateRenderer:
        """Compile the templates of the card.

        Returns:
            A renderer of the inputs of `run`.

        Raises:
            ConfigError: Neither `text` nor `card` is written, or both.
        """
        if (self.text is None) == (self.card is None):
            reason = "is missing" if self.card is None else "contradicts card"
            raise ConfigError("text", reason, "write text, or card with a whole Adaptive Card")
        if self.card is not None:
            if self.title is not None or self.facts:
                raise ConfigError("card", "contradicts title and facts", "write them into the card")
            card = compile_template("card", self.card)
            return lambda scope: {"destination": self.destination, "card": card(scope)}
        title = compile_template("title", self.title, "text")
        text = compile_template("text", self.text, "text")
        facts = compile_template("facts", self.facts, "text")
        return lambda scope: {
            "destination": self.destination, "title": title(scope), "text": text(scope), "facts": facts(scope),
        }  # fmt: skip

    @classmethod
    async def send(
        cls, destination: TeamsDestination, inputs: Mapping[str, Any], _context: ActionContext, call: SendContext, /
    ) -> HttpResponse:
        """Post the card."""
        card = inputs.get("card") or build_card(inputs["title"], inputs["text"], inputs["facts"])
        return await destination.send(wrap_card(card), call)
