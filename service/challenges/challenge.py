"""`challenge`: the delivery by which a sender asks whether the address is ours, answered by what it sent.

Slack's `url_verification` is one, Zoom's `endpoint.url_validation` another; the kind in general is data. Only verified
deliveries are looked at.
"""

from collections.abc import Callable, Mapping
from typing import Annotated

from msgspec import Meta

from service.challenges.challenge_response import ChallengeResponse, ResponseFormat, build_responder
from service.envelopes.pointer_lookup import PointerTree
from service.envelopes.pointers import PointerOrHeader, parse_pointer
from service.envelopes.strict_json import check_body, read_scalar
from service.errors import Rejection
from service.events import Delivery

ChallengeAnswerer = Callable[[Delivery], ChallengeResponse | None]
"""Gives the answer to a delivery that is a challenge, None for any other."""


class Challenge(ResponseFormat, frozen=True, kw_only=True):
    """A body with the texts of `match` at their pointers is a challenge; what stands at `echo` is said back.

    As `text` it is the whole answer; as `json` it stands in an object, under `name` or the name it had. With a `proof`
    a keyed hash of it is said instead, or, under a name of its own, besides.
    """

    match: Annotated[
        dict[PointerOrHeader, str], Meta(min_length=1, max_length=8, description="pointers and their texts")
    ]
    echo: PointerOrHeader

    def build(self, environ: Mapping[str, str], at: str, depth_max: int) -> ChallengeAnswerer:
        """Build what judges deliveries.

        Raises:
            ConfigError: the proof's secret is missing, or its name has no place.
        """
        voice = build_responder(self, parse_pointer(self.echo)[-1], environ, at)
        walk = PointerTree()
        for pointer in {*self.match, self.echo}:
            walk.add(pointer, pointer)

        def respond(delivery: Delivery) -> ChallengeResponse | None:
            found: dict[str, bytes] = {}
            try:
                check_body(delivery.body, depth_max)
                walk.extract(delivery.body, found)
                values = {pointer: read_scalar(text) for pointer, text in found.items()}
            except Rejection:
                return None  # whoever reads the delivery next says what is wrong with it
            said = values.get(self.echo)
            matches = all(values.get(pointer) == text for pointer, text in self.match.items())
            return voice.respond(said) if matches and isinstance(said, str) else None

        return respond
