"""`scheme: path_token`: a secret at the end of the address, for senders that can be given nothing but a URL.

Nothing is signed, and addresses end up in the logs of proxies: prefer any other scheme that the sender knows.
"""

import re
from collections.abc import Mapping

from msgspec import Struct

from service.errors import ConfigError
from service.events import Delivery
from service.signatures.scheme import TokenScheme, Verified, Verifier, matches_any_secret, not_verified, resolve_tokens

_TOKEN = re.compile(rb"[A-Za-z0-9._~-]+")
"""What stands in a path as it is (RFC 3986, unreserved)."""


class PathToken(TokenScheme, frozen=True, kw_only=True, tag="path_token"):
    """`secrets` are the tokens; the address is /webhooks/{source}/{token}."""

    def build(self, environ: Mapping[str, str], at: str, /) -> Verifier:
        """See Scheme."""
        tokens = resolve_tokens(self.secrets, environ, f"{at}.secrets")
        for index, token in enumerate(tokens):
            if not _TOKEN.fullmatch(token) or not token.strip(b"."):
                fix = "use letters, digits, hyphens and underscores, at least one of them"
                raise ConfigError(f"{at}.secrets[{index}]", "the token cannot stand in an address", fix)
        return _Verifier(tokens)

    def sign(self, _body: bytes, _secret: str, _event_id: str, _timestamp: int, /) -> dict[str, str]:
        """See Scheme."""
        return {}

    def path(self, secret: str, /) -> str:
        """See Scheme."""
        return f"/{secret}"


class _Verifier(Struct, frozen=True):
    tokens: tuple[bytes, ...]

    def verify(self, delivery: Delivery) -> Verified:
        if not matches_any_secret(self.tokens, delivery.path_token or ""):
            raise not_verified("Send to the whole address of the source, with the token at its end.")
        return Verified(None, delivery.body)
