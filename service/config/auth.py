"""Credentials of calls, as custom platforms and destinations declare them under `auth`."""

from msgspec import Struct

from service.config.platforms import BaseUrl, HeaderName
from service.secrets import SecretRef


class BearerAuth(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="bearer"):
    """`Authorization: Bearer <token>`."""

    token: SecretRef


class HeaderAuth(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="header"):
    """Header with a secret value."""

    name: HeaderName
    value: SecretRef


class BasicAuth(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="basic"):
    """HTTP Basic (RFC 7617)."""

    username: str
    password: SecretRef


class ClientCredentialsAuth(
    Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="oauth2_client_credentials"
):
    """Bearer token by the client credentials grant (RFC 6749, section 4.4)."""

    token_url: BaseUrl
    client_id: SecretRef
    client_secret: SecretRef
    scope: str | None = None


class NoAuth(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="none"):
    """No credentials."""


Auth = BearerAuth | HeaderAuth | BasicAuth | ClientCredentialsAuth | NoAuth
