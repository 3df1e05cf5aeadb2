"""`handshake`: the request without a delivery by which a sender asks whether the address is ours.

Meta, WebSub, Strava, Dropbox, Nylas, X and Microsoft Graph ask in the query, each by other names, which are data; Okta
in a header; Trello only asks whether anybody is there. What is said back is what a stranger sent, so it is text that no
browser makes a page of, short, and only said to who shows the token where the sender has one. The answer says nothing
of any other secret, and nothing is taken in.
"""

import hmac
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import parse_qsl

from msgspec import Meta, Struct

from service.challenges.challenge_response import ChallengeResponder, ChallengeResponse, ResponseFormat, build_responder
from service.envelopes.pointers import HeaderRef
from service.errors import ConfigError
from service.signatures.scheme import NotVerified, Secrets, resolve_tokens

QUERY_BYTES_MAX = 8_192
PARAMETERS_MAX = 32
EMPTY_RESPONSE = ChallengeResponse("text/plain; charset=utf-8", b"")

Parameter = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9._~-]{1,64}\Z", description="the name of a query parameter, such as hub.challenge")
]


class VerifyToken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameter that holds a text which the operator told the sender, and what it may be."""

    parameter: Parameter
    secrets: Secrets


class Handshake(ResponseFormat, frozen=True, kw_only=True):
    """A request by `method` whose query has the texts of `match` is answered by what stands at the parameter `echo`.

    `echo` may be a header instead, or left out where it is enough to answer 200. As `text` it is the whole answer; as
    `json` it stands in an object, under `name` or the name it had. With a `proof` a keyed hash of it is said instead,
    or, under a name of its own, besides. With a `token` it is answered only to who sends one of its secrets. A request
    that lacks the `echo` is no handshake.
    """

    method: Literal["GET", "HEAD", "POST"] = "GET"
    match: Annotated[dict[Parameter, str], Meta(max_length=8, description="parameters and their texts")] = {}  # noqa: RUF012 - msgspec copies it
    echo: Parameter | HeaderRef | None = None
    token: VerifyToken | None = None

    def build(self, environ: Mapping[str, str], at: str) -> "EndpointVerification":
        """Resolve the secrets.

        Raises:
            ConfigError: one of them is missing, or cannot stand in an address; the proof's name has no place; there
                is nothing to say.
        """
        if self.echo is None and (self.method == "POST" or self.proof is not None):
            reason = "is missing, so deliveries would be taken for handshakes" if self.proof is None else "is missing"
            raise ConfigError(f"{at}.echo", reason, "name the parameter, or {header: …}, that holds what to say back")
        tokens = () if self.token is None else resolve_tokens(self.token.secrets, environ, f"{at}.token.secrets")
        own_name = self.echo.header if isinstance(self.echo, HeaderRef) else self.echo or ""
        return EndpointVerification(self, tokens, build_responder(self, own_name, environ, at))


class EndpointVerification(Struct, frozen=True):
    """One source's handshake, ready to judge."""

    config: Handshake
    tokens: tuple[bytes, ...]
    voice: ChallengeResponder

    def answer(self, method: str, query: bytes, headers: Mapping[str, str]) -> ChallengeResponse | None:
        """Give what to answer; None for a request that is no handshake.

        Raises:
            Rejection: 401 `not_verified`, the token is not the one that is due.
        """
        echo = self.config.echo
        if method != self.config.method or (not query and isinstance(echo, str)):
            return None
        sent = _read(query) if query else {}
        matches = all(sent.get(name) == text for name, text in self.config.match.items())
        answer = self._said(sent, headers) if matches else None
        if answer is not None and self.config.token is not None:
            self._check(sent.get(self.config.token.parameter, ""), self.config.token.parameter)
        return answer

    def _said(self, sent: Mapping[str, str], headers: Mapping[str, str]) -> ChallengeResponse | None:
        echo = self.config.echo
        if echo is None:
            return EMPTY_RESPONSE
        said = sent.get(echo, "") if isinstance(echo, str) else headers.get(echo.header.lower(), "")
        return self.voice.respond(said) if said.isprintable() else None

    def _check(self, token: str, parameter: str) -> None:
        given, known = token.encode(), False
        for expected in self.tokens:
            known |= hmac.compare_digest(expected, given)
        if not known:
            raise NotVerified(f"Send the token that was agreed on in {parameter}.")


def _read(query: bytes) -> dict[str, str]:
    """Read a query; nothing of one that two readers could read in two ways: a name twice, or no text in UTF-8."""
    if len(query) > QUERY_BYTES_MAX:
        return {}
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=PARAMETERS_MAX)
    except ValueError:
        return {}
    sent = dict(pairs)
    return sent if len(sent) == len(pairs) else {}
