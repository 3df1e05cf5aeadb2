"""Exchange: the request and the response of one HTTP call, with facts about its connection.

The HTTP client fills it while the call runs, so that it is complete as far as the call came. Workers store it in the
history of the event (`workers.processing.exchanges`).
"""

import asyncio
import ssl
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct, field

from service.redaction import IS_SECRET

SMTP_METHOD = "SMTP"
"""Method of an exchange with a mail server; its status is the code of the last answer."""
SUBJECT_NAMES: tuple[tuple[str, str], ...] = (("commonName", "CN"), ("organizationName", "O"))
"""Parts of a certificate's subject that are shown."""


class TlsFacts(Struct, frozen=True, omit_defaults=True):
    """TLS version, cipher suite, and subject and expiry of the server's certificate."""

    version: str
    cipher: str
    subject: str = ""
    expires_at: str = ""


class ConnectionFacts(Struct, frozen=True):
    """Address of the server or the proxy, and the TLS facts of an encrypted connection."""

    peer: str = ""
    tls: TlsFacts | None = None


class Exchange(Struct):
    """One HTTP call. `secrets` are values that the request contains and that are never stored.

    A call was made if `method` is not empty. `status` is 0 without a response. Names of response headers are in lower
    case. The response body may be incomplete.
    """

    secrets: list[str] = field(default_factory=list[str])
    method: str = ""
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes | None = None
    status: int = 0
    response_headers: dict[str, str] = field(default_factory=dict[str, str])
    response_body: bytes = b""
    duration_ms: float = 0.0
    connection: ConnectionFacts = ConnectionFacts()

    def begin(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, secrets: Iterable[str] = ()
    ) -> None:
        """Note the request before it is sent, in place of an earlier call. `secrets` are further ones of the call."""
        self.secrets.extend(secrets)
        self.method, self.url, self.headers, self.body = method, url, headers, body
        self.status, self.response_headers, self.response_body = 0, {}, b""
        self.connection = ConnectionFacts()

    def known_secrets(self) -> list[str]:
        """Return the secrets of the request: `secrets`, and the values of headers whose name is that of a secret."""
        return [*self.secrets, *(value for name, value in self.headers.items() if IS_SECRET[name])]


def connection_facts(transport: asyncio.BaseTransport, tls: ssl.SSLObject | None = None) -> ConnectionFacts:
    """Return the facts of an open connection. `tls` is that of a connection that encrypts above its transport."""
    peer = transport.get_extra_info("peername")
    name = f"[{peer[0]}]:{peer[1]}" if len(peer or ()) > 2 else ":".join(map(str, peer or ()))
    socket: ssl.SSLObject | None = tls or transport.get_extra_info("ssl_object")
    return ConnectionFacts(name, None if socket is None else _tls_facts(socket))


def _tls_facts(socket: ssl.SSLObject) -> TlsFacts:
    cipher = socket.cipher()
    certificate: Mapping[str, Any] = socket.getpeercert() or {}  # empty if it is not verified
    expires = str(certificate.get("notAfter", ""))
    at = datetime.fromtimestamp(ssl.cert_time_to_seconds(expires), UTC) if expires else None
    return TlsFacts(
        socket.version() or "",
        cipher[0] if cipher else "",
        _subject(certificate),
        at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else "",
    )


def _subject(certificate: Mapping[str, Any]) -> str:
    """Return the subject as `CN=…,O=…`, or the first alternative name of a certificate without one."""
    pairs = {name: value for part in certificate.get("subject", ()) for name, value in part}
    shown = [f"{short}={pairs[name]}" for name, short in SUBJECT_NAMES if name in pairs]
    return ",".join(shown) or next((f"{kind}={name}" for kind, name in certificate.get("subjectAltName", ())), "")
