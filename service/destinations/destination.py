"""Destinations of any kind: their interface, and the result of a test call."""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from service.config.destinations import DestinationConfig


class ShownRequest(Struct, frozen=True, kw_only=True):
    """Request as it may be shown and stored: without secrets."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: str


class Probe(Struct, frozen=True, kw_only=True):
    """Result of a test call: the request, and the answer or the error."""

    request: ShownRequest
    status: int | None = None
    headers: Mapping[str, str] = {}
    body: str = ""
    duration_ms: float = 0.0
    error: str | None = None


class Destination(Protocol):
    """Destination of one kind. Actions of the same name as the kind call its further methods."""

    @property
    def name(self) -> str:
        """The name in waybill.yaml."""
        ...

    @property
    def config(self) -> DestinationConfig:
        """The configuration."""
        ...

    async def probe(self, method: str, path: str, /) -> Probe:
        """Send a test request without limits and retries. Only kind http uses method and path."""
        ...

    async def check(self) -> str:
        """Connect without an effect on the target, for `waybill doctor`. Return the result as text.

        Raises:
            TransientError, PermanentError: The target cannot be reached, or rejects the credentials.
        """
        ...
