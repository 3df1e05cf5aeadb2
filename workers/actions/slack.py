"""`do: slack`: post a message to the channel of a `slack` destination.

`&`, `<` and `>` in inserted values are escaped, so that a value cannot contain a link or a mention.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from service.actions import ActionContext, CompileTemplate, TemplateRenderer
from service.destinations.action import DestinationAction
from service.destinations.http.request import SendContext
from service.destinations.slack import SlackDestination
from service.errors import PermanentError
from service.http_client import HttpResponse

TEXT_CHARACTERS_MAX = 40_000
"""Slack cuts a longer text without an error."""


class Slack(DestinationAction, frozen=True, kw_only=True, tag="slack"):
    """`text` is a template in Slack's mrkdwn. `blocks` are templates of Block Kit; `text` is then the notification."""

    target: ClassVar[type] = SlackDestination
    summary: ClassVar[str] = "Posts a message to a channel of Slack."

    text: Annotated[str, Meta(min_length=1)]
    blocks: Annotated[tuple[dict[str, Any], ...], Meta(max_length=50, description="at most 50 blocks")] = ()

    def compile(self, compile_template: CompileTemplate) -> TemplateRenderer:
        """Compile the templates of text and blocks.

        Returns:
            A renderer of the inputs of `run`.
        """
        text = compile_template("text", self.text, "slack")
        blocks = compile_template("blocks", self.blocks, "slack")
        return lambda scope: {"destination": self.destination, "text": text(scope), "blocks": blocks(scope)}

    @classmethod
    async def send(
        cls, destination: SlackDestination, inputs: Mapping[str, Any], _context: ActionContext, call: SendContext, /
    ) -> HttpResponse:
        """Post the message.

        Returns:
            The response.

        Raises:
            PermanentError: `message_too_large`.
        """
        if len(inputs["text"]) > TEXT_CHARACTERS_MAX:
            reason = f"the text has {len(inputs['text'])} characters, and Slack shows {TEXT_CHARACTERS_MAX}: shorten it"
            raise PermanentError("message_too_large", reason)
        message = {"text": inputs["text"]} | ({"blocks": inputs["blocks"]} if inputs["blocks"] else {})
        return await destination.send(message, call)
