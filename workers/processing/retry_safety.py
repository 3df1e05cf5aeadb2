"""Proof that a target did not perform an effect. Only with such a proof is an `unsafe` effect repeated."""

from service.errors import Deferred, PermanentError, TransientError

NOT_SENT_KINDS = frozenset(
    {"connect", "tls", "unknown_action", "unknown_destination", "unknown_operation", "unknown_platform"}
)
"""Errors before the request is sent: no connection, a failed TLS handshake, or a part that is not configured here."""
NOT_PERFORMED_STATUSES = frozenset({425, 429})
"""Statuses of requests that the target did not process. 503 is one only with `Retry-After`."""


def is_not_performed(failure: TransientError | Deferred) -> bool:
    """Return whether the failure proves that the target did not perform the effect.

    The first error of the chain of causes decides, since an action may wrap the error of its call.
    """
    first = failure
    while isinstance(first.__cause__, TransientError | Deferred):
        first = first.__cause__
    if isinstance(first, Deferred) or not first.is_sent:  # a limit, an open circuit or no token
        return True
    if first.is_performed is not None:  # the configuration of the destination decides
        return not first.is_performed
    if first.http_status is None:
        return first.kind in NOT_SENT_KINDS
    return first.http_status in NOT_PERFORMED_STATUSES or (
        first.http_status == 503 and first.retry_after_seconds is not None
    )


def unknown_outcome(failure: TransientError | Deferred) -> PermanentError:
    """Return the error of an unsafe effect whose failure proves nothing."""
    reason = f"the target may have performed the effect: {failure}"
    return PermanentError("outcome_unknown", reason, http_status=failure.http_status)
