"""`challenge`: a delivery by which a sender checks the endpoint. The response contains a value of the delivery.

Examples are Slack's `url_verification` and Zoom's `endpoint.url_validation`. Only verified deliveries are checked.
"""

from collections.abc import Callable, Mapping
from typing import Annotated

from msgspec import Meta

from service.bodies.pointer_lookup import PointerTree
from service.bodies.pointers import PointerOrHeader, parse_pointer
from service.bodies.strict_json import check_body, read_scalar
from service.challenges.challenge_response import ChallengeResponse, ResponseFormat, build_responder
from service.errors import Rejection
from service.events import Delivery

ChallengeAnswerer = Callable[[Delivery], ChallengeResponse | None]
"""Returns the response to a delivery that is a challenge, and None for any other delivery."""


class Challenge(ResponseFormat, frozen=True, kw_only=True):
    """Condition and format of a challenge.

    A body that has the texts of `match` at their pointers is a challenge. The response contains the value at `echo`.
    With `as: text` the value is the whole response. With `as: json` it is a member of an object, under `name` or its
    own name. With a `proof`, a keyed hash replaces the value, or is added under the proof's own name.
    """

    match: Annotated[
        dict[PointerOrHeader, str], Meta(min_length=1, max_length=8, description="pointers and their texts")
    ]
    echo: PointerOrHeader

    def build(self, environ: Mapping[str, str], at: str, depth_max: int) -> ChallengeAnswerer:
        """Build the function that recognizes and answers challenges.

        Raises:
            ConfigError: the proof's secret is missing, or the proof has a name although the response is text.
        """
        responder = build_responder(self, parse_pointer(self.echo)[-1], environ, at)
        tree = PointerTree()
        for pointer in {*self.match, self.echo}:
            tree.add(pointer, pointer)

        def respond(delivery: Delivery) -> ChallengeResponse | None:
            found: dict[str, bytes] = {}
            try:
                check_body(delivery.body, depth_max)
                tree.extract(delivery.body, found)
                values = {pointer: read_scalar(text) for pointer, text in found.items()}
            except Rejection:
                return None  # the envelope's parser reports the error
            echo = values.get(self.echo)
            matches = all(values.get(pointer) == text for pointer, text in self.match.items())
            return responder.respond(echo) if matches and isinstance(echo, str) else None

        return respond
