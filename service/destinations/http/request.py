"""Requests of an HTTP destination: URL, headers and the idempotency key, with and without secrets. Pure."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from urllib.parse import urlencode, urlsplit, urlunsplit

from msgspec import Struct, field

from service.actions import ActionContext
from service.destinations.http.config import IdempotencyForm
from service.errors import PermanentError
from service.exchange import Exchange
from service.platforms.api.error_messages import scrub_secrets
from service.redaction import REDACTED

SHOWN_BODY_CHARACTERS_MAX = 2_048
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_DOT_SEGMENTS = frozenset({".", ".."})


class OutgoingRequest(Struct, frozen=True, kw_only=True):
    """Request of an action. `path` is appended to the destination's URL, and can contain a query."""

    method: str
    path: str = ""
    query: Iterable[tuple[str, str]] = ()
    headers: Mapping[str, str] = NO_HEADERS
    body: bytes | None = None
    content_type: str | None = None


class SendContext(Struct, frozen=True, kw_only=True):
    """Attempt of an effect. `is_repeated` and `exchange` are as in `ActionContext`.

    `seconds_max` is the time limit of the action.
    """

    idempotency_key: str
    is_repeated: bool = False
    traceparent: str | None = None
    seconds_max: float = 20.0
    exchange: Exchange = field(default_factory=Exchange)

    @classmethod
    def of(cls, context: ActionContext) -> "SendContext":
        """Return the attempt of a running action."""
        return cls(
            idempotency_key=context.idempotency_key,
            is_repeated=context.is_repeated,
            traceparent=context.traceparent,
            seconds_max=context.resource("action_timeout_seconds"),
            exchange=context.exchange,
        )


class PreparedRequest(Struct, frozen=True, kw_only=True):
    """Request as it is sent. `permit` are the headers of the credentials."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    permit: Mapping[str, str]


def join_url(base: str, path: str, query: Iterable[tuple[str, str]]) -> str:
    """Append path and query to a base URL, whose own query stays in front.

    Returns:
        The URL.

    Raises:
        PermanentError: `invalid_url`: a path segment is `.` or `..`, which would leave the base.
    """
    parts = urlsplit(base)
    path, _, path_query = path.partition("?")
    if not _DOT_SEGMENTS.isdisjoint(path.replace("\\", "/").split("/")):
        raise PermanentError("invalid_url", "the path has the segment . or ..: check its template")
    whole = parts.path.rstrip("/") + ("" if path.startswith("/") else "/") + path if path else parts.path
    added = list(query)
    queries = "&".join(filter(None, [parts.query, path_query, urlencode(added) if added else ""]))
    if not queries:
        return f"{parts.scheme}://{parts.netloc}{whole}"
    return urlunsplit((parts.scheme, parts.netloc, whole, queries, ""))


def format_key(key: str, form: IdempotencyForm) -> str:
    """Return an idempotency key in the form of the destination. The same key has always the same form."""
    if form == "full":
        return key
    digits = hashlib.sha256(key.encode()).hexdigest()[:32]
    return digits if form == "hash32" else _uuid4(digits)


def _uuid4(digits: str) -> str:
    """Return 32 hex digits as a UUID of version 4. `uuid.UUID` takes several times as long."""
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def merge_headers(*parts: Mapping[str, str]) -> dict[str, str]:
    """Merge headers without regard to case; the last value wins. Names are in lower case."""
    return {name.lower(): value for part in parts for name, value in part.items()}


def shown_headers(
    headers: Mapping[str, str], secret_names: Collection[str], secrets: Collection[str]
) -> dict[str, str]:
    """Return headers without secrets: those of the credentials as a whole, others without the text of a secret."""
    return {
        name: REDACTED if name in secret_names else scrub_secrets(value, secrets) for name, value in headers.items()
    }
