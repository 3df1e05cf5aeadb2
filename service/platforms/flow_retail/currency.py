"""Currency of a Flow Retail tenant, fetched once and cached, since every amount needs it."""

import asyncio
import time
from collections.abc import Callable

from service.errors import PermanentError
from service.platforms.api.coercion import text
from service.platforms.base import CallContext
from service.platforms.flow_retail.client import FlowRetailClient

LIFETIME_SECONDS = 3_600.0


class TenantCurrency:
    """Currency of one tenant. If the token may not read it, amounts are unknown, and records stay readable."""

    def __init__(self, client: FlowRetailClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._lock = asyncio.Lock()
        self._currency: str | None = None
        self._stale_at: float | None = None

    async def get(self, context: CallContext) -> str | None:
        """Return the currency code (ISO 4217), None if it is not available.

        Raises:
            TransientError: A retry may succeed.
            Deferred: The account is throttled or its circuit is open.
        """
        async with self._lock:
            if self._stale_at is None or self._clock() >= self._stale_at:
                self._currency = await self._ask(context)
                self._stale_at = self._clock() + LIFETIME_SECONDS
            return self._currency

    async def _ask(self, context: CallContext) -> str | None:
        try:
            tenant = await self._client.get_tenant(context)
            return None if tenant is None else text(tenant, "currency") or None
        except PermanentError:
            return None
