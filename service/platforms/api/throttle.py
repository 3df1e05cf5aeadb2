"""What every call to an account passes: limits and pauses that all workers share. Here only its shape, and one without.

The gate that keeps to limits is `service.platforms.api.shared_throttle`; a connector that is built without one asks
freely.
"""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol


class Throttle(Protocol):
    """One account's gate."""

    def slot(self, *, repeatable: bool) -> AbstractAsyncContextManager[None]:
        """Let one call through, and hear how it ends.

        `repeatable` says that the call may be made again whatever became of it, so that any failure which makes the
        platform rest is told as Held. Of other calls only an answer that says "not now" is.

        Raises:
            Deferred: not now; nothing was sent, or the platform answered that it did nothing.
            StoreUnavailable: whether it may cannot be known.
        """
        ...


class NoThrottle:
    """No limits, no pauses."""

    @asynccontextmanager
    async def slot(self, *, repeatable: bool) -> AsyncGenerator[None]:  # noqa: ARG002 - the protocol's signature
        """Let everything through."""
        yield


NO_THROTTLE = NoThrottle()
