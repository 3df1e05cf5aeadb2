"""Access to the admin API: named bearer tokens, each with a role. The configuration holds their digests only."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from service.errors import ConfigError
from service.secrets import SecretRef

Role = Literal["viewer", "operator", "admin"]
"""Permissions of a token: read · act on events and rules · change global state. Each role includes the previous one."""

_DIGEST = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


class AdminToken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One token. `name` is written to the audit log. `sha256` refers to the hex digest of the token."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z", description="letters, digits, . _ -")]
    role: Role
    sha256: SecretRef


class AdminConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the admin API. Without tokens every call is denied."""

    tokens: tuple[AdminToken, ...] = ()


def read_digest(token: AdminToken, environ: Mapping[str, str], at: str) -> bytes:
    """Return the digest of a token. `at` is the path of the token, for errors.

    Raises:
        ConfigError: the secret is missing, or is not a SHA-256 digest in hex.
    """
    text = token.sha256.resolve(environ, f"{at}.sha256").strip()
    if not _DIGEST.fullmatch(text):
        fix = 'store the hex digest there: printf %s "$TOKEN" | sha256sum'
        raise ConfigError(f"{at}.sha256", "is not a SHA-256 digest in hex", fix)
    return bytes.fromhex(text)


def check_admin(admin: AdminConfig, environ: Mapping[str, str]) -> Iterator[ConfigError]:
    """Yield the mistakes in the tokens: unreadable digests, duplicate names and duplicate tokens."""
    names: set[str] = set()
    digests: set[bytes] = set()
    for index, token in enumerate(admin.tokens):
        at = f"admin.tokens[{index}]"
        if token.name in names:
            yield ConfigError(f"{at}.name", f"duplicate name {token.name}", "give each token its own name")
        names.add(token.name)
        try:
            digest = read_digest(token, environ, at)
        except ConfigError as error:
            yield error
            continue
        if digest in digests:
            yield ConfigError(f"{at}.sha256", "is the digest of another token", "give each person their own token")
        digests.add(digest)
