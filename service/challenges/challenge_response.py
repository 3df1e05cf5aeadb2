"""Challenge response: the sender's own text, or a keyed hash of it.

Zoom and X require a keyed hash of their text. Often the same secret signs the deliveries. So a client that can send
challenges could obtain signatures. To prevent this, only short texts of letters, digits and `+/=_-` are hashed. No
delivery consists of these characters only, since the JSON of an event contains brackets.
"""

import binascii
import hmac
import re
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from service.errors import ConfigError
from service.secrets import SecretRef

ECHO_CHARACTERS_MAX = 2_048
_HASHABLE = re.compile(r"[A-Za-z0-9+/=_-]{1,256}")

MemberName = Annotated[
    str, Meta(min_length=1, max_length=64, description="a member of the response, 1 to 64 characters")
]


class ChallengeResponse(Struct, frozen=True, gc=False):
    """A response with status 200."""

    content_type: str
    body: bytes


class HmacProof(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A keyed hash of the value, with `prefix`. It is added under `name`; without a name it replaces the value."""

    secret: SecretRef
    name: MemberName | None = None
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: Annotated[str, Meta(pattern=r"^[ -~]{0,64}\Z", description="at most 64 ASCII characters")] = ""


class ResponseFormat(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"reply_as": "as"}):
    """Format of the response to a Challenge or a Handshake."""

    reply_as: Literal["text", "json"] = "text"
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
            digest = hmac.digest(self.key, text.encode(), proof.algorithm)
            encoded = digest.hex() if proof.encoding == "hex" else binascii.b2a_base64(digest, newline=False).decode()
            members[proof.name or self.name] = proof.prefix + encoded
        if self.response_format.reply_as == "text":
            return ChallengeResponse("text/plain; charset=utf-8", members[self.name].encode())
        return ChallengeResponse("application/json", msgspec.json.encode(members))


def build_responder(
    response_format: ResponseFormat, own_name: str, environ: Mapping[str, str], at: str
) -> ChallengeResponder:
    """Build the responder of one source.

    Args:
        response_format: the format from the configuration.
        own_name: the sender's name for the text.
        environ: the environment, for secrets.
        at: the path of `response_format`, for errors.

    Raises:
        ConfigError: the secret is missing, or the proof has a name although the response is text.
    """
    proof = response_format.proof
    if proof is None:
        return ChallengeResponder(response_format, response_format.name or own_name)
    if proof.name and response_format.reply_as == "text":
        raise ConfigError(f"{at}.proof.name", "is not allowed in a text response", "write as: json, or remove the name")
    return ChallengeResponder(
        response_format, response_format.name or own_name, proof.secret.resolve(environ, f"{at}.proof.secret").encode()
    )
