"""Log lines `admin.denied` of denied calls, at a limited rate, and their count.

The first calls of a burst get one line each. Later calls share one line per second with their number. A line contains
no token and no other part of the request: the route is its template.
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

_BUCKET = ""


class AuthFailureLog:
    """Handler of rejections that logs and counts denied calls."""

    def __init__(self) -> None:
        self._lines = TokenBuckets(LINES_PER_SECOND, BURST_SECONDS)
        self._last: dict[str, Any] = {}
        self._calls = 0
        self._timer: asyncio.TimerHandle | None = None

    def handle(self, request: Request[Any, Any, Any], rejection: Rejection) -> Response[bytes]:
        """Return the response of a rejection."""
        self.record(request, rejection)
        return handle_rejection(request, rejection)

    def record(self, request: Request[Any, Any, Any], rejection: Rejection) -> None:
        """Log and count a rejection, unless it has another reason than the token or the role."""
        if rejection.status not in STATUSES:
            return
        ADMIN_DENIED.inc((rejection.code,))
        actor: object = request.user if "user" in request.scope else None
        known = {"actor": actor.name, "role": actor.role} if isinstance(actor, Actor) else {}
        self._last = {
            "reason": rejection.code,
            "http_status": rejection.status,
            "method": request.method,
            "route": request.scope["path_template"],
            "client_host": request.client.host if request.client else "",
            **known,
        }
        self._calls += 1
        if self._timer is None:
            delay = self._lines.acquire(_BUCKET, time.monotonic())
            if delay:
                self._timer = asyncio.get_running_loop().call_later(delay, self._log_pending)
            else:
                self._log_summary()

    def _log_pending(self) -> None:
        self._timer = None
        self._lines.acquire(_BUCKET, time.monotonic())
        self._log_summary()

    def _log_summary(self) -> None:
        get_logger().warning("admin.denied", **self._last, calls=self._calls)
        self._calls = 0
