"""Classification of a response by its status. Pure.

2xx is decoded; 404 and 410 mean gone; 408, 425, 429, 5xx, any 4xx with Retry-After, and temporary redirects of reads
are transient; 401, 403 and other redirects are errors of the configuration; other statuses reject the request. Error
codes start with the party: `platform_…`, `config_…`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from msgspec import Struct

from service.bodies.lazy_json import LazyJson
from service.bodies.pointers import parse_pointer, resolve_pointer
from service.config.platforms import GoneResponse
from service.errors import PermanentError, TransientError
from service.events import JsonValue
from service.http_client import HttpResponse
from service.platforms.api.decoding import decode_body, is_html
from service.platforms.api.error_messages import error_message, names_parameter
from service.records import Record, Timestamp

GONE_STATUSES = frozenset({404, 410})
RETRYABLE_STATUSES = frozenset({408, 425, 429})
TEMPORARY_REDIRECTS = frozenset({302, 303, 307})
CREDENTIAL_STATUSES = frozenset({401, 403})
RETRY_AFTER_SECONDS_MAX = 86_400.0
HOST_CHARACTERS_MAX = 100


class TypedRecord(NamedTuple):
    """Record that was decoded without plain JSON, its modification time, and the SHA-256 of the bytes, in hex.

    `at` is the pointer to its own JSON in the response.
    """

    record: Record
    modified: Timestamp
    digest: str
    at: tuple[str, ...] = ()


TypedReader = Callable[[bytes], TypedRecord | None]
"""Reads a record from the bytes of a response; None if only its plain JSON can be read."""


class PlatformResponse(Struct, frozen=True):
    """Decoded response. `data` is None if the record is `gone`; `reason` is then the status and the platform's words.

    Header names are in lower case. With `typed`, `data` is the `LazyJson` of the same bytes.
    """

    status: int
    data: Any
    duration_ms: float
    gone: bool = False
    headers: Mapping[str, str] = MappingProxyType({})
    body_bytes: int = 0
    reason: str = ""
    typed: TypedRecord | None = None


class GoneResponses(Struct, frozen=True):
    """Responses that mean that a record is gone: by status, or by status and a value in the body."""

    statuses: frozenset[int] = GONE_STATUSES
    bodies: tuple[GoneResponse, ...] = ()

    def __contains__(self, answer: HttpResponse) -> bool:
        """Return whether a response means that the record is gone.

        A 404 with a web page does not: the server does not know the address of the API.
        """
        if answer.status in self.statuses:
            return answer.status != 404 or not is_html(answer.body)
        expected = [each for each in self.bodies if each.status == answer.status]
        data = _readable(answer.body, answer.status) if expected else None
        # JSON has no number that equals `true`, but Python has.
        values = [(each.value, resolve_pointer(data, parse_pointer(each.at))) for each in expected]
        return any(value == found and type(value) is type(found) for value, found in values)


NO_RECORD = GoneResponses()


def classify_response(
    operation: str,
    answer: HttpResponse,
    *,
    transient: frozenset[int],
    gone: GoneResponses = NO_RECORD,
    secrets: Iterable[str],
    now: float,
    body_needed: bool = True,
    read_typed: TypedReader | None = None,
) -> PlatformResponse:
    """Decode a successful response; raise the error of any other.

    `secrets` were sent and are removed from the platform's message; `now` is in seconds since the epoch. If no body is
    needed, an unreadable body counts as none. `read_typed` reads usual records without plain JSON.

    Returns:
        The response.

    Raises:
        TransientError: `platform_unavailable`, `platform_rate_limited`, `config_redirected` for a temporary redirect of
            a read, or as `decode_body`.
        PermanentError: `config_unauthorized`, `config_forbidden`, `config_redirected`, `config_wrong_address`,
            `platform_rejected`, `invalid_argument` if the response names a query parameter, or as `decode_body`.
    """
    status = answer.status
    if status < 300 and body_needed and answer in gone:
        return _gone(answer, secrets)
    if 200 <= status < 300:
        if read_typed is not None and (typed := read_typed(answer.body)) is not None:
            return _typed_response(answer, typed)
        data = decode_body(answer.body, status) if body_needed else _readable(answer.body, status)
        size = len(answer.body)
        return PlatformResponse(status, data, answer.duration_ms, headers=answer.headers, body_bytes=size)
    wait = retry_after_seconds(answer.headers.get("retry-after"), now)
    if wait is None and answer in gone:
        return _gone(answer, secrets)
    reason = describe_failure(operation, answer, secrets)
    if not is_transient(status, wait) and names_parameter(answer.body):
        raise PermanentError("invalid_argument", reason, http_status=status)
    if body_needed and status in TEMPORARY_REDIRECTS:  # often to a page about maintenance
        raise TransientError("config_redirected", reason, http_status=status)
    if is_transient(status, wait) or status in transient:
        kind = "platform_rate_limited" if status == 429 else "platform_unavailable"
        raise TransientError(kind, reason, http_status=status, retry_after_seconds=wait)
    raise PermanentError(_permanent_kind(status), reason, http_status=status)


def _typed_response(answer: HttpResponse, typed: TypedRecord) -> PlatformResponse:
    status, body = answer.status, answer.body
    data = LazyJson(lambda: cast("JsonValue", resolve_pointer(decode_body(body, status), typed.at)))
    return PlatformResponse(status, data, answer.duration_ms, headers=answer.headers, body_bytes=len(body), typed=typed)


def _gone(answer: HttpResponse, secrets: Iterable[str]) -> PlatformResponse:
    reason = describe_failure("", answer, secrets).strip()
    return PlatformResponse(answer.status, None, answer.duration_ms, gone=True, reason=reason)


def describe_failure(name: str, answer: HttpResponse, secrets: Iterable[str]) -> str:
    """Describe a response that is not successful: its status and its own words, or the host of a redirect."""
    if 300 <= answer.status < 400:
        return f"{name} answered {answer.status}{_leads_to(answer)}: redirects are not followed; correct the URL"
    said = error_message(answer.body, secrets)
    return f"{name} answered {answer.status}" + (f": {said}" if said else "")


def is_transient(status: int, retry_after: float | None) -> bool:
    """Return whether a retry may succeed: by the status, or because a rejection states when to retry."""
    return status in RETRYABLE_STATUSES or status >= 500 or (status >= 400 and retry_after is not None)


def retry_after_seconds(header: str | None, now: float) -> float | None:
    """Return Retry-After (RFC 9110, section 10.2.3), as seconds from `now`; None if it is absent or invalid."""
    if header is None:
        return None
    text = header.strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(float(text), RETRY_AFTER_SECONDS_MAX)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # an offset of many digits
        return None
    aware = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return min(max(aware.timestamp() - now, 0.0), RETRY_AFTER_SECONDS_MAX)


def _readable(body: bytes, status: int) -> JsonValue:
    try:
        return decode_body(body, status)
    except (TransientError, PermanentError):
        return None


def _leads_to(answer: HttpResponse) -> str:
    """Return the host of a redirect; the rest of an address may contain secrets."""
    try:
        host = urlsplit(answer.headers.get("location", "")).hostname
    except ValueError:
        return ""
    return f", which leads to {host[:HOST_CHARACTERS_MAX]}" if host and host.isascii() and host.isprintable() else ""


def _permanent_kind(status: int) -> str:
    if 300 <= status < 400:
        return "config_redirected"
    return {401: "config_unauthorized", 403: "config_forbidden", 404: "config_wrong_address"}.get(
        status, "platform_rejected"
    )
