"""Configuration of targets over HTTP: address, connection, credentials, signature and fixed headers."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field

from service.config.auth import Auth, ClientCredentialsAuth, HeaderAuth, NoAuth
from service.config.destinations import DestinationConfig
from service.config.platforms import HeaderName, secrets
from service.destinations.http.signing import RequestSignature
from service.egress import parse_proxy_url
from service.errors import ConfigError
from service.secret_names import find_secret_in_header, find_secret_in_url
from service.secrets import REFERENCE_FIX, SecretRef

HIDDEN_URL = "[secret URL]"
DIRECT = "direct"
"""Value of `proxy` for calls without a proxy."""
HEADERS_MAX = 50
TOTAL_SECONDS_MAX = 300.0
RESERVED_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "idempotency-key", "traceparent",
     "webhook-id", "webhook-timestamp", "webhook-signature", "signature", "signature-input", "content-digest"}
)  # fmt: skip
"""Headers that Waybill sets itself."""

IdempotencyForm = Literal["uuid", "hash32", "full"]
FilePath = Annotated[str, Meta(pattern=r"^/[^\x00]+\Z", max_length=4_001, description="an absolute path of a file")]


class TimeoutsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Timeouts of one call. WAYBILL_ACTION_TIMEOUT_SECONDS limits it as well."""

    connect_seconds: Annotated[float, Meta(gt=0, le=60, description="seconds, more than 0 and at most 60")] = 5.0
    total_seconds: Annotated[
        float, Meta(gt=0, le=TOTAL_SECONDS_MAX, description="seconds, more than 0 and at most 300")
    ] = 10.0


class IdempotencyConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Header with the idempotency key, and its form.

    `uuid` has 36 characters, `hash32` 32 hexadecimal digits; `full` is the readable key of up to 200 characters.
    """

    header: HeaderName = "Idempotency-Key"
    form: IdempotencyForm = "uuid"


class TlsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TLS: client certificate for mutual TLS, and certificate authorities of the target, as PEM files.

    The files are read again when they change. `ca_file` replaces the authorities of the system and those of
    WAYBILL_OUTBOUND_CA_FILE.
    """

    certificate_file: FilePath | None = None
    key_file: FilePath | None = None
    ca_file: FilePath | None = None


class TargetConfig(DestinationConfig, frozen=True, kw_only=True):
    """Address and connection of a target that is called over HTTP. A `url` that contains a secret is a reference.

    `allow_private_host` admits a target with a private address. `proxy` is the URL of an HTTP proxy, or `direct`; the
    default is the proxy of WAYBILL_OUTBOUND_PROXY_URL.
    """

    url: str | SecretRef
    tls: TlsConfig | None = None
    timeouts: TimeoutsConfig = TimeoutsConfig()
    allow_private_host: bool = False
    proxy: str | SecretRef | None = None

    @property
    def shown_url(self) -> str:
        """URL of the target, unless it is a secret."""
        return self.url if isinstance(self.url, str) else HIDDEN_URL

    def check(self, at: str, environ: Mapping[str, str]) -> Iterator[ConfigError]:
        """Yield the mistakes; `at` is the destination's path in waybill.yaml."""
        yield from super().check(at, environ)
        yield from _check_url(self.url, f"{at}.url", environ)
        yield from _check_proxy(self.proxy, f"{at}.proxy", environ)
        if self.tls is not None:
            yield from check_tls(self.tls, f"{at}.tls")

    def warnings(self, at: str) -> Iterator[str]:
        """Yield the warnings about a destination without mistakes."""
        yield from super().warnings(at)
        plain = isinstance(self.url, str) and self.url.startswith("http://")
        if (plain or self._has_plain_token_url()) and any(secrets(self, at)) and not self.allow_private_host:
            yield f"{at}.url: http sends the credentials unencrypted; use https"

    def _has_plain_token_url(self) -> bool:
        return False


class HttpConfig(TargetConfig, frozen=True, kw_only=True, tag="http"):
    """HTTP destination. `url` is the base of all paths. `headers` are sent with every request."""

    auth: Auth = NoAuth()
    signature: RequestSignature | None = None
    headers: dict[HeaderName, str | SecretRef] = field(default_factory=dict[str, str | SecretRef])
    idempotency: IdempotencyConfig = IdempotencyConfig()

    @property
    def own_headers(self) -> frozenset[str]:
        """Headers of the idempotency key, the credentials and the signature, in lower case."""
        signed = self.signature.own_headers if self.signature is not None else ()
        names = (self.idempotency.header, self._auth_header(), *signed)
        return frozenset(name.lower() for name in names if name)

    def check(self, at: str, environ: Mapping[str, str]) -> Iterator[ConfigError]:
        """Yield the mistakes; `at` is the destination's path in waybill.yaml."""
        yield from super().check(at, environ)
        if len(self.headers) > HEADERS_MAX:
            yield ConfigError(f"{at}.headers", f"has more than {HEADERS_MAX} headers", "remove some")
        for name, value in self.headers.items():
            yield from _check_header(name, value, f"{at}.headers.{name}", self.idempotency.header)
        for place, name in (("auth.name", self._auth_header()), ("idempotency.header", self.idempotency.header)):
            if name.lower() in RESERVED_HEADERS - {"idempotency-key"}:
                yield ConfigError(f"{at}.{place}", f"{name} is set by Waybill", "use another header")
        own = self._auth_header() or ("" if isinstance(self.auth, NoAuth) else "Authorization")
        if self.idempotency.header.lower() in {own.lower(), "content-type"}:
            reason = f"{self.idempotency.header} has another value, so the key would not arrive"
            yield ConfigError(f"{at}.idempotency.header", reason, "use another header, such as Idempotency-Key")
        if self.signature is not None:
            yield from self.signature.check(f"{at}.signature", environ)

    def _has_plain_token_url(self) -> bool:
        return isinstance(self.auth, ClientCredentialsAuth) and self.auth.token_url.startswith("http://")

    def _auth_header(self) -> str:
        return self.auth.name if isinstance(self.auth, HeaderAuth) else ""


def _check_url(url: str | SecretRef, at: str, environ: Mapping[str, str]) -> Iterator[ConfigError]:
    if isinstance(url, str):
        found = find_secret_in_url(url)
        if found:
            yield ConfigError(at, f"contains {found}", f"store the URL as a secret: {REFERENCE_FIX}")
            return
        text = url
    else:
        try:
            text = url.resolve(environ)
        except ConfigError:
            return  # reported with the other secrets
    reason = url_mistake(text)
    if reason:
        yield ConfigError(at, reason, "write a URL such as https://erp.example.com/api")


def _check_proxy(proxy: str | SecretRef | None, at: str, environ: Mapping[str, str]) -> Iterator[ConfigError]:
    if proxy is None or proxy == DIRECT:
        return
    try:
        url = parse_proxy_url(at, proxy if isinstance(proxy, str) else proxy.resolve(environ))
        if isinstance(proxy, str) and url.password is not None:
            yield ConfigError(at, "contains a password", f"store the URL as a secret: {REFERENCE_FIX}")
    except ConfigError as error:
        if error.path == at:  # a secret that is not set is reported with the other secrets
            yield error


def url_mistake(url: str) -> str:
    """Return why a URL cannot be the base of requests; empty if it can. The text does not contain the URL."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        return f"is not a valid URL ({type(error).__name__})"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return "does not start with http:// or https:// and a host"
    if parts.username is not None or parts.password is not None:
        return "contains a user name or password; use auth: {type: basic}"
    if parts.fragment or not url.isascii() or not url.isprintable() or " " in url:
        return "has a fragment, blanks or characters other than ASCII"
    return ""


def _check_header(name: str, value: str | SecretRef, at: str, idempotency_header: str) -> Iterator[ConfigError]:
    if name.lower() in RESERVED_HEADERS or name.lower() == idempotency_header.lower():
        yield ConfigError(at, "cannot be set", "remove it; Waybill sets such headers itself")
    elif isinstance(value, str):
        if not value.isascii() or not value.isprintable():
            yield ConfigError(at, "is not printable ASCII on one line", "write it so")
        found = find_secret_in_header(name, value)
        if found:
            yield ConfigError(at, f"contains {found}", f"{REFERENCE_FIX}, or use auth:")


def check_tls(tls: TlsConfig, at: str) -> Iterator[ConfigError]:
    """Yield the mistakes in the files of a TLS configuration."""
    if tls.key_file and not tls.certificate_file:
        yield ConfigError(f"{at}.certificate_file", "is missing", "add the certificate of the key")
    for name in ("certificate_file", "key_file", "ca_file"):
        path = getattr(tls, name)
        if path and not Path(path).is_file():
            fix = "mount the file there, readable by the process"
            yield ConfigError(f"{at}.{name}", f"there is no file {path}", fix)
