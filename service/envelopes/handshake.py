"""`handshake`: the request without a delivery by which a sender asks whether the address is ours, told in its query.

Meta, WebSub, Strava, Dropbox, Nylas and Microsoft Graph ask so, each by other names, which are data. What is said back
is what a stranger sent, so it is text that no browser makes a page of, short, and only said to who shows the token
where the sender has one. The answer says nothing of any other secret, and nothing is taken in.
"""

import hmac
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta, Struct

from service.envelopes.challenge import ECHO_CHARACTERS_MAX, Echo
from service.secrets import SecretRef
from service.signatures.scheme import Secrets, not_verified, resolve_tokens

QUERY_BYTES_MAX = 8_192
PARAMETERS_MAX = 32

Parameter = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9._~-]{1,64}\Z", description="the name of a query parameter, such as hub.challenge")
]


class HandshakeToken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameter that holds a text which the operator told the sender, and what it may be."""

    parameter: Parameter
    secrets: Secrets


class Handshake(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"reply_as": "as"}):
    """A request by `method` whose query has the texts of `match` is answered by what stands at the parameter `echo`.

    As `text` it is the whole answer; as `json` it stands in an object, under `name` or the name it had. With a `token`
    it is answered only to who sends one of its secrets. A query that holds no `echo` is no handshake.
    """

    method: Literal["GET", "POST"] = "GET"
    match: Annotated[dict[Parameter, str], Meta(max_length=8, description="parameters and their texts")] = {}
    echo: Parameter
    token: HandshakeToken | None = None
    reply_as: Literal["text", "json"] = "text"
    name: Annotated[str, Meta(min_length=1, max_length=64)] | None = None

    def build(self, environ: Mapping[str, str], at: str) -> "Asked":
        """Resolve the token.

        Raises:
            ConfigError: one of its secrets is missing, or cannot stand in an address.
        """
        tokens = () if self.token is None else resolve_tokens(self.token.secrets, environ, f"{at}.token.secrets")
        return Asked(self, tokens)

    @property
    def refs(self) -> tuple[SecretRef, ...]:
        """Where its secrets stand."""
        return () if self.token is None else self.token.secrets


class Asked(Struct, frozen=True):
    """One source's handshake, ready to judge."""

    config: Handshake
    tokens: tuple[bytes, ...]

    def answer(self, method: str, query: bytes) -> Echo | None:
        """Give what to answer; None for a request that is no handshake.

        Raises:
            Refusal: 401 `not_verified`, the token is not the one that is due.
        """
        if method != self.config.method or not query:
            return None
        sent = _read(query)
        said = sent.get(self.config.echo, "")
        matches = all(sent.get(name) == text for name, text in self.config.match.items())
        if not matches or not 0 < len(said) <= ECHO_CHARACTERS_MAX or not said.isprintable():
            return None
        if self.config.token is not None and not self._knows(sent.get(self.config.token.parameter, "")):
            raise not_verified(f"Send the token that was agreed on in {self.config.token.parameter}.")
        if self.config.reply_as == "text":
            return Echo("text/plain; charset=utf-8", said.encode())
        return Echo("application/json", msgspec.json.encode({self.config.name or self.config.echo: said}))

    def _knows(self, token: str) -> bool:
        given, known = token.encode(), False
        for expected in self.tokens:
            known |= hmac.compare_digest(expected, given)
        return known


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
