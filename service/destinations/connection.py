"""Common part of destinations that open connections: their secrets, and their limits and circuit breaker."""

from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Generic, TypeVar

from service.config.destinations import DestinationConfig
from service.destinations.kind import DestinationDependencies
from service.errors import Deferred, TransientError
from service.secrets import SecretReader

ConfigT = TypeVar("ConfigT", bound=DestinationConfig)


class ConnectedDestination(Generic[ConfigT]):
    """Destination with secrets, a throttle, and a retry policy. `at` is its path in waybill.yaml."""

    def __init__(self, name: str, config: ConfigT, dependencies: DestinationDependencies) -> None:
        self.name = name
        self.config = config
        self.at = f"destinations.{name}"
        self.dependencies = dependencies
        self.secrets = SecretReader(dependencies.environ)

    def slot(self, target: str) -> AbstractAsyncContextManager[None]:
        """Acquire a slot for one call, and add the retry policy to its errors. `target` is as in `Throttle.slot`.

        Returns:
            The context manager of the call.

        Raises:
            Deferred: A limit is reached, or the circuit is open.
            TransientError: As the call.
        """
        slot = self.dependencies.throttle.slot(repeatable=True, target=target)
        return _Slot(slot, float(self.config.retry.seconds))


class _Slot:
    """Slot of a throttle whose errors get the retry policy."""

    __slots__ = ("_retry_seconds", "_slot")

    def __init__(self, slot: AbstractAsyncContextManager[None], retry_seconds: float) -> None:
        self._slot = slot
        self._retry_seconds = retry_seconds

    async def __aenter__(self) -> None:
        try:
            await self._slot.__aenter__()
        except (TransientError, Deferred) as error:
            error.retry_for_seconds = self._retry_seconds
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, TransientError | Deferred):
            error.retry_for_seconds = self._retry_seconds
        try:
            await self._slot.__aexit__(kind, error, trace)
        except (TransientError, Deferred) as changed:
            changed.retry_for_seconds = self._retry_seconds
            raise
