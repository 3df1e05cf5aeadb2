"""Options and result of one HTTP call."""

import ssl

from msgspec import Struct

from service.egress import ProxyRoute

CONNECT_TIMEOUT_SECONDS = 5.0


class HttpResponse(Struct, frozen=True):
    """Response with any status. Header names are in lower case, the body is decompressed, durations are in ms.

    Headers and body may be incomplete if the status alone decides.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    duration_ms: float


class TransportOptions(Struct, frozen=True):
    """Options of the connection of one call.

    `tls` replaces the default context, for a client certificate, and `proxy` the proxy of the settings.
    """

    connect_seconds_max: float = CONNECT_TIMEOUT_SECONDS
    tls: ssl.SSLContext | None = None
    proxy: ProxyRoute | None = None


DEFAULT_TRANSPORT = TransportOptions()
