"""What is said back to a sender that asks whether the address is ours: its own text, or what a secret makes of it.

Zoom and X want a keyed hash of their text. Whoever can ask could have anything hashed, and so signed, with a secret
that mostly signs deliveries as well. So only short words of letters, digits and `+/=_-` are: no delivery can be made
of them, since no JSON that tells an event does without brackets.
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

MemberName = Annotated[str, Meta(min_length=1, max_length=64, description="a member of the answer, 1 to 64 characters")]


class ChallengeResponse(Struct, frozen=True, gc=False):
    """What to answer with status 200."""

    content_type: str
    body: bytes


class HmacProof(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A keyed hash of what is said back, with `prefix`: beside it under `name`, or without a name in its place."""

    secret: SecretRef
    name: MemberName | None = None
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: Annotated[str, Meta(pattern=r"^[ -~]{0,64}\Z", description="at most 64 ASCII characters")] = ""


class ResponseFormat(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"reply_as": "as"}):
    """How it is said back; see Challenge and Handshake."""

    reply_as: Literal["text", "json"] = "text"
    name: MemberName | None = None
    proof: HmacProof | None = None


class ChallengeResponder(Struct, frozen=True):
    """One source's way of answering, ready to speak; `key` is the proof's secret."""

    response_format: ResponseFormat
    name: str
    key: bytes = b""

    def respond(self, said: str) -> ChallengeResponse | None:
        """Give the answer to a sender that sent `said`; None for what is not to be said, or not to be hashed."""
        if not 0 < len(said) <= ECHO_CHARACTERS_MAX:
            return None
        members, proof = {self.name: said}, self.response_format.proof
        if proof is not None:
            if _HASHABLE.fullmatch(said) is None:
                return None
            digest = hmac.digest(self.key, said.encode(), proof.algorithm)
            plain = digest.hex() if proof.encoding == "hex" else binascii.b2a_base64(digest, newline=False).decode()
            members[proof.name or self.name] = proof.prefix + plain
        if self.response_format.reply_as == "text":
            return ChallengeResponse("text/plain; charset=utf-8", members[self.name].encode())
        return ChallengeResponse("application/json", msgspec.json.encode(members))


def build_responder(
    response_format: ResponseFormat, own_name: str, environ: Mapping[str, str], at: str
) -> ChallengeResponder:
    """Resolve the secret; `own_name` is the sender's name of the text, `at` the place of `response_format`.

    Raises:
        ConfigError: the secret is missing, or the proof would stand beside a text.
    """
    proof = response_format.proof
    if proof is None:
        return ChallengeResponder(response_format, response_format.name or own_name)
    if proof.name and response_format.reply_as == "text":
        raise ConfigError(f"{at}.proof.name", "a text has no room beside it", "write as: json, or remove the name")
    return ChallengeResponder(
        response_format, response_format.name or own_name, proof.secret.resolve(environ, f"{at}.proof.secret").encode()
    )
