"""`challenge`: the delivery by which a sender asks whether the address is ours, answered by saying back what it sent.

Slack's `url_verification` is one; the kind in general is data. Only verified deliveries are looked at.
"""

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from service.envelopes.pointers import Place, parse_pointer
from service.envelopes.strict_json import check_body, read_scalar
from service.envelopes.walk import Walk
from service.errors import Refusal
from service.events import Delivery

ECHO_CHARACTERS_MAX = 2_048


class Echo(Struct, frozen=True, gc=False):
    """What to answer a challenge with status 200."""

    content_type: str
    body: bytes


Challenger = Callable[[Delivery], Echo | None]
"""Gives the answer to a delivery that is a challenge, None for any other."""


class Challenge(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"reply_as": "as"}):
    """A body with the texts of `match` at their pointers is a challenge; what stands at `echo` is said back.

    As `text` it is the whole answer; as `json` it stands in an object, under `name` or the name it had.
    """

    match: Annotated[dict[Place, str], Meta(min_length=1, max_length=8, description="pointers and their texts")]
    echo: Place
    reply_as: Literal["text", "json"] = "text"
    name: Annotated[str, Meta(min_length=1, max_length=64)] | None = None

    def challenger(self, depth_max: int) -> Challenger:
        """Build what judges deliveries."""
        walk = Walk()
        for pointer in {*self.match, self.echo}:
            walk.add(pointer, pointer)

        def judge(delivery: Delivery) -> Echo | None:
            found: dict[str, bytes] = {}
            try:
                check_body(delivery.body, depth_max)
                walk.collect(delivery.body, found)
                values = {pointer: read_scalar(text) for pointer, text in found.items()}
            except Refusal:
                return None  # whoever reads the delivery next says what is wrong with it
            said = values.get(self.echo)
            if not isinstance(said, str) or len(said) > ECHO_CHARACTERS_MAX:
                return None
            matches = all(values.get(pointer) == text for pointer, text in self.match.items())
            return self._echo(said) if matches else None

        return judge

    def _echo(self, said: str) -> Echo:
        if self.reply_as == "text":
            return Echo("text/plain; charset=utf-8", said.encode())
        return Echo("application/json", msgspec.json.encode({self.name or parse_pointer(self.echo)[-1]: said}))
