"""Lease of the running job by the clock of this machine, checked directly before a request of an action is written.

The store rejects writes of a lost lease, but no target knows of leases. A worker that was suspended in a job must not
send its request after those of the next lease.
"""

import time
from contextvars import ContextVar

from service.errors import LeaseLost

MARGIN_RATIO = 0.1
"""Part of a lease at its end in which no request starts: it could reach its target after those of the next lease."""


class Lease:
    """Time limit of one lease. `expires_at` is monotonic, in seconds: this clock goes on while a process is stopped."""

    __slots__ = ("expires_at",)

    def __init__(self, began_at: float, seconds: float) -> None:
        self.extend(began_at, seconds)

    def extend(self, began_at: float, seconds: float) -> None:
        """Set the end by the time before the call that claimed or renewed the lease."""
        self.expires_at = began_at + seconds * (1 - MARGIN_RATIO)


class ActionLease:
    """Lease as one action sees it. `is_sent` is False while no request of the action was admitted.

    No request of an unsafe action is sent twice without proof.
    """

    __slots__ = ("_lease", "is_sent", "is_unsafe")

    def __init__(self, lease: Lease, *, is_unsafe: bool = False) -> None:
        self._lease = lease
        self.is_unsafe = is_unsafe
        self.is_sent = False

    def check(self) -> None:
        """Admit a request, as `check_lease`."""
        if time.monotonic() >= self._lease.expires_at:
            raise LeaseLost("the lease expired before the request was sent")
        self.is_sent = True


action_lease: ContextVar[ActionLease | None] = ContextVar("action_lease", default=None)
"""Lease of the action that this task runs."""


def check_lease() -> None:
    """Check the lease before a request. Without a running action there is none.

    Raises:
        LeaseLost: The lease has expired, or is about to.
    """
    lease = action_lease.get()
    if lease is not None:
        lease.check()


def runs_unsafe_action() -> bool:
    """Return whether this task runs an action with the retry safety `unsafe`."""
    lease = action_lease.get()
    return lease is not None and lease.is_unsafe
