"""`handshake`: a request, not a delivery, by which a sender checks the endpoint.

Meta, WebSub, Strava, Dropbox, Nylas, X and Microsoft Graph use query parameters with different names. Okta uses a
header. Trello only requires status 200. The response repeats text of an unauthenticated client. So it is short,
printable and never HTML. If a verify token is configured, the request must contain it. A handshake ingests nothing.
"""

import hmac
from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from service.bodies.forms import parse_query
from service.bodies.pointers import HeaderRef
from service.challenges.challenge_response import ChallengeResponder, ChallengeResponse, ResponseFormat, build_responder
from service.errors import ConfigError
from service.signatures.scheme import NotVerified, Secrets, resolve_tokens

Parameter = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9._~-]{1,64}\Z", description="the name of a query parameter, such as hub.challenge")
]


class VerifyToken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query parameter with the verify token that the operator entered at the sender, and its valid values."""

    parameter: Parameter
    secrets: Secrets


class Handshake(ResponseFormat, frozen=True, kw_only=True):
    """Condition and format of a handshake.

    A request with this `method` and the texts of `match` in its query is a handshake. The response contains the value
    of the parameter or header `echo`. Without `echo` the response is the fixed `reply`, or empty. A request that lacks
    the `echo` is not a handshake.

    With `as: text` the value is the whole response. With `as: json` it is a member of an object, under `name` or its
    own name. With a `proof`, a keyed hash replaces the value, or is added under the proof's own name. With a `token`
    the request must contain one of its secrets.
    """

    method: Literal["GET", "HEAD", "POST"] = "GET"
    match: Annotated[dict[Parameter, str], Meta(max_length=8, description="parameters and their texts")] = {}  # noqa: RUF012 - msgspec copies it
    echo: Parameter | HeaderRef | None = None
    token: VerifyToken | None = None

    def build(self, environ: Mapping[str, str], at: str) -> "EndpointVerification":
        """Build the handshake of one source.

        Returns:
            The handshake.

        Raises:
            ConfigError: a secret is missing, or is not valid in a URL; the proof has a name although the response is
                text; or `echo` is missing.
        """
        if self.echo is None and (self.method == "POST" or self.proof is not None):
            reason = "is missing, so deliveries would count as handshakes" if self.proof is None else "is missing"
            raise ConfigError(f"{at}.echo", reason, "add the parameter, or {header: …}, whose value is sent back")
        tokens = () if self.token is None else resolve_tokens(self.token.secrets, environ, f"{at}.token.secrets")
        own_name = self.echo.header if isinstance(self.echo, HeaderRef) else self.echo or ""
        return EndpointVerification(self, tokens, build_responder(self, own_name, environ, at))


class EndpointVerification(Struct, frozen=True):
    """Recognizes and answers the handshakes of one source."""

    config: Handshake
    tokens: tuple[bytes, ...]
    responder: ChallengeResponder

    def answer(self, method: str, query: bytes, headers: Mapping[str, str]) -> ChallengeResponse | None:
        """Return the response, or None for a request that is not a handshake.

        Raises:
            Rejection: 401 `not_verified`, the verify token is missing or wrong.
        """
        echo = self.config.echo
        if method != self.config.method or (not query and isinstance(echo, str)):
            return None
        sent = parse_query(query.decode("latin-1")) if query else {}
        matches = all(sent.get(name) == text for name, text in self.config.match.items())
        response = self._respond(sent, headers) if matches else None
        if response is not None and self.config.token is not None:
            self._check_token(sent.get(self.config.token.parameter, ""), self.config.token.parameter)
        return response

    def _respond(self, sent: Mapping[str, str], headers: Mapping[str, str]) -> ChallengeResponse | None:
        echo = self.config.echo
        if echo is None:
            return self.responder.reply()
        text = sent.get(echo, "") if isinstance(echo, str) else headers.get(echo.header.lower(), "")
        return self.responder.respond(text) if text.isprintable() else None

    def _check_token(self, token: str, parameter: str) -> None:
        sent, valid = token.encode(), False
        for expected in self.tokens:
            valid |= hmac.compare_digest(expected, sent)
        if not valid:
            raise NotVerified(f"Send the verify token in {parameter}.")
