"""`challenge`: a delivery by which a sender checks the endpoint. The response contains a value of the delivery.

Examples are Slack's `url_verification` and Zoom's `endpoint.url_validation`. Only verified deliveries are checked,
unless the sender does not sign its challenges.
"""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from service.bodies.body_format import BodyDecoder, BodyFormat, build_body_decoder, form_to_json
from service.bodies.forms import FORM
from service.bodies.pointer_lookup import PointerTree
from service.bodies.pointers import PointerOrHeader, parse_pointer
from service.bodies.strict_json import check_body, read_scalar
from service.challenges.challenge_response import ChallengeResponder, ChallengeResponse, ResponseFormat, build_responder
from service.errors import ConfigError, Rejection
from service.events import Delivery


class Challenge(ResponseFormat, frozen=True, kw_only=True):
    """Condition and format of a challenge.

    A body with the values of `match` at their pointers, and with a text at `echo`, is a challenge. The response
    contains that text. Without `echo` the response is the fixed `reply`, or empty. Forms are read as objects.

    With `as: text` the value is the whole response. With `as: json` it is a member of an object, under `name` or its
    own name. With a `proof`, a hash replaces the value, or is added under the proof's own name. With `unsigned: true`
    the sender does not sign challenges.
    """

    match: Annotated[dict[PointerOrHeader, str | int], Meta(max_length=8, description="pointers and their values")] = {}  # noqa: RUF012 - msgspec copies it
    echo: PointerOrHeader | None = None
    unsigned: bool = False

    def build(self, environ: Mapping[str, str], at: str, depth_max: int, body: BodyFormat) -> "ChallengeAnswerer":
        """Build the object that recognizes and answers challenges.

        Returns:
            The answerer of one source.

        Raises:
            ConfigError: the proof's secret is missing, the response has no such place, or every delivery would be a
                challenge.
        """
        if self.echo is None and (not self.match or self.proof is not None):
            raise ConfigError(f"{at}.echo", "is missing", "add echo: the pointer to the text, or match with a reply")
        own_name = parse_pointer(self.echo)[-1] if self.echo is not None else ""
        responder = build_responder(self, own_name, environ, at)
        return ChallengeAnswerer(self, responder, depth_max, build_body_decoder(body))


class ChallengeAnswerer:
    """Recognizes and answers the challenges of one source."""

    def __init__(
        self, challenge: Challenge, responder: ChallengeResponder, depth_max: int, decode: BodyDecoder | None
    ) -> None:
        self.unsigned = challenge.unsigned
        self._challenge = challenge
        self._responder = responder
        self._depth_max = depth_max
        self._decode = decode
        self._tree = PointerTree()
        for pointer in {*challenge.match, *([challenge.echo] if challenge.echo else [])}:
            self._tree.add(pointer, pointer)

    def __call__(self, delivery: Delivery) -> ChallengeResponse | None:
        """Return the response to a delivery that is a challenge, and None for any other delivery."""
        found: dict[str, bytes] = {}
        try:
            body = self._body(delivery)
            check_body(body, self._depth_max)
            self._tree.extract(body, found)
            values = {pointer: read_scalar(text) for pointer, text in found.items()}
        except Rejection:
            return None  # the envelope's parser reports the error
        challenge = self._challenge
        if not all(values.get(pointer) == value for pointer, value in challenge.match.items()):
            return None
        if challenge.echo is None:
            return self._responder.reply()
        echo = values.get(challenge.echo)
        return self._responder.respond(echo) if isinstance(echo, str) and echo.isprintable() else None

    def _body(self, delivery: Delivery) -> bytes:
        if self._decode is not None:
            return self._decode(delivery.body)
        # Some senders of JSON send their challenge as a form.
        media = delivery.headers.get("content-type", "").partition(";")[0].strip().lower()
        return form_to_json(delivery.body) if media == FORM else delivery.body
