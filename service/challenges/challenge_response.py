"""Challenge response: the sender's own text, or a keyed hash of it.

Zoom and X require a keyed hash of their text. Often the same secret signs the deliveries. So a client that can send
challenges could obtain signatures. To prevent this, only short texts of letters, digits and `+/=_-` are hashed. No
delivery consists of these characters only, since the JSON of an event contains brackets.
"""

import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from service.errors import ConfigError
from service.secrets import SecretRef

ECHO_CHARACTERS_MAX = 2_048
TEXT = "text/plain; charset=utf-8"
_HASHABLE = re.compile(r"[A-Za-z0-9+/=_-]{1,256}")

HASHED = r"^[^{}]*\{(value|secret)\}[^{}]*\{(value|secret)\}[^{}]*\Z"
MemberName = Annotated[
    str, Meta(min_length=1, max_length=64, description="a member of the response, 1 to 64 characters")
]


class ChallengeResponse(Struct, frozen=True, gc=False):
    """A response to a challenge. `header` is a response header with the sender's text, and its name."""

    content_type: str
    body: bytes
    status: int = 200
    header: tuple[str, str] | None = None


class HmacProof(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A keyed hash of the value, with `prefix`. It is added under `name`; without a name it replaces the value.

    With `hashed` it is a hash without a key (eBay): of a text with `{value}`, `{secret}` and fixed parts.
    """

    secret: SecretRef
    hashed: (
        Annotated[str, Meta(pattern=HASHED, max_length=500, description="text with {value} and {secret}")] | None
    ) = None
    name: MemberName | None = None
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: Annotated[str, Meta(pattern=r"^[ -~]{0,64}\Z", description="at most 64 ASCII characters")] = ""


class ResponseFormat(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"reply_as": "as"}):
    """Format of the response to a Challenge or a Handshake.

    With `as: header` the value is in the response header `name`. With a `reply` the response is this text alone.
    """

    reply_as: Literal["text", "json", "header"] = "text"
    status: Annotated[int, Meta(ge=200, le=299, description="an HTTP status of 200 to 299")] = 200
    reply: Annotated[str, Meta(max_length=1_024, description="at most 1024 characters")] | None = None
    name: MemberName | None = None
    proof: HmacProof | None = None


class ChallengeResponder(Struct, frozen=True):
    """Builds the challenge responses of one source. `key` is the proof's secret."""

    response_format: ResponseFormat
    name: str
    key: bytes = b""

    def respond(self, text: str) -> ChallengeResponse | None:
        """Build the challenge response for `text`.

        Returns:
            The response, or None if the text is empty, longer than 2,048 characters or not safe to hash.
        """
        if not 0 < len(text) <= ECHO_CHARACTERS_MAX:
            return None
        members, proof = {self.name: text}, self.response_format.proof
        if proof is not None:
            if _HASHABLE.fullmatch(text) is None:
                return None
            digest = self._digest(proof, text)
            encoded = digest.hex() if proof.encoding == "hex" else binascii.b2a_base64(digest, newline=False).decode()
            members[proof.name or self.name] = proof.prefix + encoded
        status = self.response_format.status
        if self.response_format.reply_as == "header":
            return ChallengeResponse(TEXT, b"", status, (self.name.lower(), members[self.name]))
        if self.response_format.reply_as == "text":
            return ChallengeResponse(TEXT, members[self.name].encode(), status)
        return ChallengeResponse("application/json", msgspec.json.encode(members), status)

    def reply(self) -> ChallengeResponse:
        """Build the fixed response, empty without a `reply`."""
        text = self.response_format.reply or ""
        media_type = "application/json" if text.startswith("{") else TEXT
        return ChallengeResponse(media_type, text.encode(), self.response_format.status)

    def _digest(self, proof: HmacProof, text: str) -> bytes:
        if proof.hashed is None:
            return hmac.digest(self.key, text.encode(), proof.algorithm)
        parts = {"value": text, "secret": self.key.decode()}
        return hashlib.new(proof.algorithm, proof.hashed.format_map(parts).encode()).digest()


def build_responder(
    response_format: ResponseFormat, own_name: str, environ: Mapping[str, str], at: str
) -> ChallengeResponder:
    """Build the responder of one source.

    Args:
        response_format: the format from the configuration.
        own_name: the sender's name for the text.
        environ: the environment, for secrets.
        at: the path of `response_format`, for errors.

    Returns:
        The responder.

    Raises:
        ConfigError: the secret is missing, or the proof has a name although the response is text.
    """
    proof = response_format.proof
    if response_format.reply_as == "header" and (response_format.name is None or proof is not None):
        raise ConfigError(f"{at}.name", "as: header requires a name and no proof", "name the response header")
    if proof is None:
        return ChallengeResponder(response_format, response_format.name or own_name)
    if proof.name and response_format.reply_as == "text":
        raise ConfigError(f"{at}.proof.name", "is not allowed in a text response", "write as: json, or remove the name")
    return ChallengeResponder(
        response_format, response_format.name or own_name, proof.secret.resolve(environ, f"{at}.proof.secret").encode()
    )
