"""Errors in the body of a 2xx response that has not the requested record, such as `{"error": "maintenance"}`. Pure.

GraphQL and some other APIs answer 200 and describe the error in the body. The code of the error decides: a rejected
request is permanent, everything else is transient, because a body without the record is no proof that there is none.
`errors.gone` of the account names bodies that are.
"""

import re
from collections.abc import Iterator
from typing import Any, cast

from service.errors import PermanentError, TransientError
from service.platforms.api.decoding import NoRecordError

RATE_LIMIT_CODES = frozenset({
    "429", "OVER_QUERY_LIMIT", "QUOTA_EXCEEDED", "RATE_LIMIT", "RATE_LIMITED", "RATE_LIMIT_EXCEEDED",
    "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED", "SLOW_DOWN", "THROTTLED", "TOO_MANY_REQUESTS",
})  # fmt: skip
CREDENTIAL_CODES = frozenset({
    "401", "403", "ACCESS_DENIED", "FORBIDDEN", "INVALID_API_KEY", "INVALID_CLIENT", "INVALID_CREDENTIALS",
    "INVALID_TOKEN", "PERMISSION_DENIED", "UNAUTHENTICATED", "UNAUTHORIZED",
})  # fmt: skip
REJECTED_CODES = frozenset({
    "400", "405", "422", "BAD_REQUEST", "BAD_USER_INPUT", "GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED",
    "INVALID_ARGUMENT", "INVALID_REQUEST", "VALIDATION_FAILED",
})  # fmt: skip
CODE_FIELDS = ("code", "status", "statusCode", "status_code", "errorCode", "error_code", "type", "error")
ERRORS_MAX = 5
"""Entries of a list of errors that are read."""
_CODE = re.compile(r"[A-Za-z0-9_. -]{1,40}", re.ASCII)
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[ .-]+")


def classify_body(missing: NoRecordError, data: object) -> TransientError | PermanentError:
    """Return the error for a response without the requested record. `missing` says what it lacks."""
    codes = list(_codes(data))
    reason = f"{missing}; the body has the error code {codes[0]}" if codes else str(missing)
    known = {_WORDS.sub("_", code).upper() for code in codes}
    if known & RATE_LIMIT_CODES:
        return TransientError("platform_rate_limited", reason, http_status=missing.http_status)
    if known & CREDENTIAL_CODES:
        # Retried by age: a person corrects the credentials, and no event needs a replay.
        return TransientError("config_unauthorized", reason, http_status=missing.http_status)
    if known & REJECTED_CODES:
        return PermanentError("platform_rejected", reason, http_status=missing.http_status)
    return TransientError(missing.kind, reason, http_status=missing.http_status)


def _codes(data: object) -> Iterator[str]:
    """Yield the codes of errors: of `errors` and `error` first, then of the body itself."""
    if not isinstance(data, dict):
        return
    body = cast("dict[str, Any]", data)
    for name in ("errors", "error", "fault"):
        entries: Any = body.get(name)
        listed: list[Any] = cast("list[Any]", entries)[:ERRORS_MAX] if isinstance(entries, list) else [entries]
        for entry in listed:
            if isinstance(entry, dict):
                yield from _codes_of(cast("dict[str, Any]", entry).get("extensions"))
            yield from _codes_of(entry)
    yield from _codes_of(body)


def _codes_of(entry: Any) -> Iterator[str]:  # noqa: ANN401 - decoded JSON
    if isinstance(entry, dict):
        fields = cast("dict[str, Any]", entry)
        for name in CODE_FIELDS:
            value = fields.get(name)
            text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
            if _CODE.fullmatch(text):
                yield text
