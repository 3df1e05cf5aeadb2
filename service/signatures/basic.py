"""`scheme: basic`: HTTP Basic user name and password (RFC 7617). Nothing is signed; only TLS protects the body."""

import binascii
from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

from service.errors import ConfigError
from service.events import Delivery
from service.secrets import SecretRef
from service.signatures.scheme import NotVerified, Scheme, Secrets, Verified, Verifier, matches_any_secret, resolve_all

CHALLENGE = {"www-authenticate": 'Basic realm="webhooks", charset="UTF-8"'}


class Basic(Scheme, frozen=True, kw_only=True, tag="basic"):
    """HTTP Basic. `password` is one secret reference, or a list of them during a rotation."""

    username: Annotated[str, Meta(min_length=1, max_length=200)]
    password: SecretRef | Secrets

    def build(self, environ: Mapping[str, str], at: str, /) -> Verifier:
        """Return the verifier.

        Raises:
            ConfigError: The user name contains a colon, or a secret is missing.
        """
        if ":" in self.username:
            raise ConfigError(f"{at}.username", "contains a colon", "choose a user name without a colon (RFC 7617)")
        if isinstance(self.password, SecretRef):
            passwords = (self.password.resolve(environ, f"{at}.password"),)
        else:
            passwords = resolve_all(self.password, environ, f"{at}.password")
        return _Verifier(tuple(_credentials(self.username, password).encode() for password in passwords))

    def sign(self, _body: bytes, secret: str, _event_id: str, _timestamp: int, /) -> dict[str, str]:
        """Return the authorization header."""
        return {"authorization": f"Basic {_credentials(self.username, secret)}"}

    @property
    def refs(self) -> tuple[SecretRef, ...]:
        """References of the passwords."""
        return (self.password,) if isinstance(self.password, SecretRef) else self.password


class _Verifier(Struct, frozen=True):
    credentials: tuple[bytes, ...]

    def verify(self, delivery: Delivery) -> Verified:
        scheme, _, given = delivery.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic" or not matches_any_secret(self.credentials, given.strip(" ")):
            raise NotVerified(
                "Missing or wrong HTTP Basic credentials. Send the source's user name and password.", CHALLENGE
            )
        return Verified(None, delivery.body)


def _credentials(username: str, password: str) -> str:
    return binascii.b2a_base64(f"{username}:{password}".encode(), newline=False).decode()
