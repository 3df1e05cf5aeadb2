"""Who may use the admin API: named bearer tokens, of which only a digest is known here, each with a role."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from service.errors import ConfigError
from service.secrets import SecretRef

Role = Literal["viewer", "operator", "admin"]
"""What a token may do: look · act on events and rules · change what all depend on. Each may what the one before may."""

_DIGEST = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


class AdminToken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One token. `name` stands in the audit log; `sha256` leads to the hex digest of the token, never to the token."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z", description="letters, digits, . _ -")]
    role: Role
    sha256: SecretRef


class AdminConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The admin API; without tokens nobody may use it."""

    tokens: tuple[AdminToken, ...] = ()


def read_digest(token: AdminToken, environ: Mapping[str, str], at: str) -> bytes:
    """Give a token's digest; `at` is where the token stands.

    Raises:
        ConfigError: it is not there, or is no SHA-256 in hex.
    """
    text = token.sha256.resolve(environ, f"{at}.sha256").strip()
    if not _DIGEST.fullmatch(text):
        fix = 'put the hex digest there: printf %s "$TOKEN" | sha256sum'
        raise ConfigError(f"{at}.sha256", "is no SHA-256 digest in hex", fix)
    return bytes.fromhex(text)


def check_admin(admin: AdminConfig, environ: Mapping[str, str]) -> Iterator[ConfigError]:
    """Find what is wrong with the tokens: digests that cannot be read, one name or one token twice."""
    names: set[str] = set()
    digests: set[bytes] = set()
    for index, token in enumerate(admin.tokens):
        at = f"admin.tokens[{index}]"
        if token.name in names:
            yield ConfigError(f"{at}.name", f"the name {token.name} stands twice", "give each token its own name")
        names.add(token.name)
        try:
            digest = read_digest(token, environ, at)
        except ConfigError as error:
            yield error
            continue
        if digest in digests:
            yield ConfigError(f"{at}.sha256", "is the digest of another token too", "give each person their own token")
        digests.add(digest)
