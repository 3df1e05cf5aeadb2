"""Configuration of an email destination: mail server, credentials, sender and permitted recipients."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from msgspec import Meta, field

from service.config.destinations import DestinationConfig, LimitsConfig
from service.destinations.http.config import TimeoutsConfig, TlsConfig, check_tls
from service.errors import ConfigError
from service.secrets import SecretRef

LOCAL_PART = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}"
DOMAIN = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
CONNECTIONS_MAX = 2
PORTS = {"starttls": 587, "tls": 465, "none": 25}
"""Default ports."""

EmailAddress = Annotated[
    str, Meta(pattern=rf"^{LOCAL_PART}@{DOMAIN}\Z", max_length=254, description="an address such as shop@example.com")
]
PermittedRecipient = Annotated[
    str,
    Meta(
        pattern=rf"^(?:{LOCAL_PART})?@{DOMAIN}\Z",
        max_length=254,
        description="an address, or @ and a domain for all its addresses",
    ),
]
HostName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9.:-]{1,253}\Z", description="a host name or an IP address, without a port")
]


class EmailConfig(DestinationConfig, frozen=True, kw_only=True, tag="email"):
    """Email destination: the mail server `host`. The port is 587 by default, 465 with `security: tls`, 25 with `none`.

    `starttls` and `tls` require a valid certificate. `recipients` limits the recipients of rules; empty: any address.
    `limits` is `{in_flight: 2}` by default, since mail servers limit the connections of one client.
    """

    host: HostName
    sender: EmailAddress = field(name="from")
    port: Annotated[int, Meta(ge=1, le=65_535, description="a port of 1 to 65535")] | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str | SecretRef | None = None
    password: SecretRef | None = None
    recipients: Annotated[tuple[PermittedRecipient, ...], Meta(max_length=100, description="a list")] = ()
    tls: TlsConfig | None = None
    timeouts: TimeoutsConfig = TimeoutsConfig()
    limits: LimitsConfig = LimitsConfig(in_flight=CONNECTIONS_MAX)

    @property
    def server_port(self) -> int:
        """Port of the mail server."""
        return self.port or PORTS[self.security]

    @property
    def shown_url(self) -> str:
        """Address of the mail server."""
        scheme = "smtps" if self.security == "tls" else "smtp"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.server_port}"

    def check(self, at: str, environ: Mapping[str, str]) -> Iterator[ConfigError]:
        """Yield the mistakes; `at` is the destination's path in waybill.yaml."""
        yield from super().check(at, environ)
        if (self.username is None) != (self.password is None):
            missing = "username" if self.username is None else "password"
            yield ConfigError(f"{at}.{missing}", "is missing", "write both username and password, or neither")
        if self.tls is not None:
            yield from check_tls(self.tls, f"{at}.tls")
            if self.security == "none":
                yield ConfigError(f"{at}.tls", "contradicts security: none", "remove one of them")

    def warnings(self, at: str) -> Iterator[str]:
        """Yield the warnings about a destination without mistakes."""
        yield from super().warnings(at)
        if self.security == "none" and self.password is not None:
            yield f"{at}.security: none sends the password unencrypted; use starttls or tls"
