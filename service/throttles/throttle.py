"""Interface of a throttle, and a throttle without limits. The shared one is in `shared_throttle`."""

from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol

_FREE = nullcontext()


class Throttle(Protocol):
    """Throttle of one account or destination."""

    def slot(self, *, repeatable: bool, target: str) -> AbstractAsyncContextManager[None]:
        """Limit one call: acquire a slot on entry, report success or failure on exit.

        `repeatable` says that the call may be repeated after any failure. A failure that opens the circuit then raises
        Deferred. For other calls only a response that defers the call does. `target` is the path of the call.

        Raises:
            Deferred: No request was sent, or the platform answered that it did nothing.
            StoreUnavailable: The state of the throttle is unknown.
        """
        ...


class NoThrottle:
    """Throttle without limits and without a circuit breaker."""

    def slot(self, *, repeatable: bool, target: str) -> AbstractAsyncContextManager[None]:  # noqa: ARG002 - the protocol's signature
        """Admit the call."""
        return _FREE


NO_THROTTLE = NoThrottle()
