"""Failures of HTTP calls. Their texts have host and port only: the URL may contain secrets."""

from msgspec import Struct

from service.egress import ProxyRoute
from service.errors import PermanentError, TransientError


class Failure(Struct, frozen=True):
    """Reason why a response is incomplete. `text` has the places {host} and {bytes_max}."""

    error_class: type[TransientError] | type[PermanentError]
    kind: str
    text: str

    def error(self, host: str, bytes_max: int, status: int) -> TransientError | PermanentError:
        """Return the error for a call. `status` is 0 if the status line was not received."""
        text = self.text.format(host=host, bytes_max=bytes_max)
        return self.error_class(self.kind, text, http_status=status or None)


TOO_LARGE = Failure(PermanentError, "response_too_large", "the response of {host} exceeds {bytes_max} bytes")
UNDECODABLE = Failure(TransientError, "protocol", "the response of {host} cannot be decompressed")
INVALID = Failure(TransientError, "protocol", "the response of {host} is not valid HTTP")
TIMEOUT = Failure(TransientError, "timeout", "{host} did not answer in time")
CLOSED = Failure(TransientError, "reset", "{host} closed the connection before the response was complete")


def invalid_request() -> PermanentError:
    """Return the error for a method or header that cannot be sent."""
    return PermanentError("invalid_request", "the method or headers of the request are not valid HTTP")


def cannot_connect(host: str) -> TransientError:
    """Return the error for a host without an address, or whose addresses reject the connection."""
    return TransientError("connect", f"cannot connect to {host}")


def connect_timeout(host: str) -> TransientError:
    """Return the error for a call that was not sent in time."""
    return TransientError("connect", f"connecting to {host} timed out")


def tls_failed(host: str) -> TransientError:
    """Return the error for a failed TLS handshake."""
    return TransientError("tls", f"TLS handshake with {host} failed: check its certificate")


def proxy_unreachable(proxy: ProxyRoute) -> TransientError:
    """Return the error for a proxy without a connection."""
    return TransientError("connect", f"cannot connect to the proxy {_named(proxy)}")


def proxy_rejected(status: int, host: str, proxy: ProxyRoute) -> TransientError:
    """Return the error for a proxy that answers CONNECT by another status than 2xx. No byte reached the target."""
    return TransientError("connect", f"status {status} to CONNECT {host} from the proxy {_named(proxy)} and its rules")


def _named(proxy: ProxyRoute) -> str:
    """Return the address of a proxy, and its place in the configuration."""
    return f"{proxy.url.authority if proxy.url else ''}: check {proxy.setting}"
