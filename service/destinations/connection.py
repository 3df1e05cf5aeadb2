"""Common part of destinations that open connections: their secrets, and their limits and circuit breaker."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
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

    @asynccontextmanager
    async def slot(self, target: str) -> AsyncGenerator[None]:
        """Acquire a slot for one call, and add the retry policy to its errors. `target` is as in `Throttle.slot`.

        Raises:
            Deferred: A limit is reached, or the circuit is open.
            TransientError: As the call.
        """
        try:
            async with self.dependencies.throttle.slot(repeatable=True, target=target):
                yield
        except (TransientError, Deferred) as error:
            error.retry_for_seconds = float(self.config.retry.seconds)
            raise
