"""Calls that nobody may make: each is counted, and told in `admin.denied`, whoever knocks how often.

Of a scanner's thousand calls the first few leave lines of their own, the others one a second that speaks for all since
the one before. Never a token, nor anything else of what was sent: the route is its template.
"""

import asyncio
import time
from typing import Any

from litestar import Request, Response

from service.errors import Rejection
from service.ingress.admin.problems import handle_rejection
from service.ingress.limits.token_bucket import TokenBuckets
from service.log import get_logger
from service.management.audit_log import Actor
from service.metrics.families import ADMIN_DENIED

STATUSES = frozenset({401, 403})

LINES_PER_SECOND = 1.0
BURST_SECONDS = 20.0

_EVERYBODY = ""


class AuthFailureLog:
    """Answers refusals as `handle_rejection`, and tells of those that are about who calls."""

    def __init__(self) -> None:
        self._lines = TokenBuckets(LINES_PER_SECOND, BURST_SECONDS)
        self._last: dict[str, Any] = {}
        self._calls = 0
        self._later: asyncio.TimerHandle | None = None

    def answer(self, request: Request[Any, Any, Any], refusal: Rejection) -> Response[bytes]:
        """Answer what is refused."""
        if refusal.status in STATUSES:
            self._note(request, refusal)
        return handle_rejection(request, refusal)

    def _note(self, request: Request[Any, Any, Any], refusal: Rejection) -> None:
        ADMIN_DENIED.inc((refusal.code,))
        operator: object = request.user if "user" in request.scope else None
        known = {"actor": operator.name, "role": operator.role} if isinstance(operator, Actor) else {}
        self._last = {
            "reason": refusal.code,
            "http_status": refusal.status,
            "method": request.method,
            "route": request.scope["path_template"],
            "client_host": request.client.host if request.client else "",
            **known,
        }
        self._calls += 1
        if self._later is None:
            wait = self._lines.acquire(_EVERYBODY, time.monotonic())
            if wait:
                self._later = asyncio.get_running_loop().call_later(wait, self._log_pending)
            else:
                self._log_summary()

    def _log_pending(self) -> None:
        self._later = None
        self._lines.acquire(_EVERYBODY, time.monotonic())
        self._log_summary()

    def _log_summary(self) -> None:
        get_logger().warning("admin.denied", **self._last, calls=self._calls)
        self._calls = 0
