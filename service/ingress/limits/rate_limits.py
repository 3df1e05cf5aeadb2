"""Who comes too often: refused deliveries are counted by the address they came from, verified ones by their source.

An address is charged for what was refused, not for what was taken in, so that senders behind one proxy stand beside
each other, and one that signs never waits. While an address waits, its deliveries are told so before a byte of a body
is read, and their lines are summed up once a second, since a flood of them would be one of the log too.
"""

import asyncio
import math
import time
from collections.abc import Mapping

from service.errors import Rejection
from service.ingestion.sources import Source
from service.ingress.limits.client_address import address_block, client_address
from service.ingress.limits.token_bucket import TokenBuckets
from service.log import get_logger
from service.settings import Settings
from service.ssrf_guard import parse_cidrs

BURST_SECONDS = 5.0
"""How many seconds' worth may come at once, after a pause."""

BYTES_PER_REJECTION = 32_768
"""How much of a refused body counts as one more refusal: of a kilobyte sent a megabyte may be unfolded, in 4 ms."""

LOG_INTERVAL_SECONDS = 1.0


class RateLimited(Rejection):
    """The address must wait; told of in a sum instead of a line of its own."""


class RateLimits:
    """Both counts of one process, each bounded in its keys.

    Raises:
        ConfigError: WAYBILL_TRUSTED_PROXIES cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self._trusted = parse_cidrs(settings.trusted_proxies)
        self._refusals = _rates(settings.address_rejections_per_second_max)
        self._verified = _rates(settings.source_deliveries_per_second_max)
        self._untold = 0
        self._log = get_logger().bind()

    def address_of(self, peer: str, headers: Mapping[str, str]) -> str:
        """Give the sender's address, as far as proxies that are trusted tell it."""
        return client_address(peer, headers, self._trusted) if self._trusted else peer

    def check_address(self, address: str, source: Source | None) -> None:
        """Let an address through.

        Raises:
            RateLimited: too many of its deliveries were refused lately.
        """
        # Empty on a good day, and then nobody's network has to be worked out.
        if self._refusals is not None and len(self._refusals):
            wait = self._refusals.retry_after_seconds(address_block(address), time.monotonic())
            if wait:
                self._schedule_summary()
                raise _too_often(RateLimited, source, "Too many deliveries from this address were refused.", wait)

    def record_rejection(self, address: str, body_bytes: int = 0) -> None:
        """Count a refusal that was the sender's doing, a large body as several: unfolding and hashing it took time."""
        if self._refusals is not None:
            self._refusals.charge(address_block(address), time.monotonic(), 1 + body_bytes // BYTES_PER_REJECTION)

    def check_source(self, source: Source) -> None:
        """Let a verified delivery through.

        Raises:
            Refusal: `too_many_requests`, the source sends more than it may.
        """
        if self._verified is not None:
            wait = self._verified.acquire(source.name, time.monotonic())
            if wait:
                raise _too_often(Rejection, source, "This source sends more deliveries than it may.", wait)

    def _schedule_summary(self) -> None:
        if not self._untold:
            asyncio.get_running_loop().call_later(LOG_INTERVAL_SECONDS, self._log_summary)
        self._untold += 1

    def _log_summary(self) -> None:
        self._log.warning("delivery.rate_limited", reason="too_many_requests", deliveries=self._untold)
        self._untold = 0


def _rates(per_second_max: float) -> TokenBuckets | None:
    return TokenBuckets(per_second_max, BURST_SECONDS) if per_second_max else None


def _too_often(kind: type[Rejection], source: Source | None, detail: str, wait_seconds: float) -> Rejection:
    """Make the refusal: 429 only where the platform comes again on it, since to some every 4xx is final."""
    headers = {"retry-after": str(math.ceil(wait_seconds)), "connection": "close"}
    status = 429 if source is not None and source.retries_on_429 else 503
    return kind(status, "too_many_requests", f"{detail} Send it again later.", headers)
