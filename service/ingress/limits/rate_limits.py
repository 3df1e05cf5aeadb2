"""Rate limits: rejected deliveries per client address, accepted deliveries per source. Token buckets, per process.

Only rejections count against an address, so that senders behind one proxy do not limit each other. Deliveries of a
limited address are rejected before the body is read. One log line per second summarizes them.
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
"""Burst size in seconds of the rate."""

BYTES_PER_REJECTION = 32_768
"""Decompressed body bytes that count as one more rejection: one kilobyte can decompress to a megabyte, in 4 ms."""

LOG_INTERVAL_SECONDS = 1.0


class RateLimited(Rejection):
    """Rejection of a limited address; logged in a summary instead of a line per delivery."""


class RateLimits:
    """Rate limits of one process.

    Raises:
        ConfigError: WAYBILL_TRUSTED_PROXIES is not a list of networks.
    """

    def __init__(self, settings: Settings) -> None:
        self._trusted = parse_cidrs(settings.trusted_proxies)
        self._rejections = _buckets(settings.address_rejections_per_second_max)
        self._accepted = _buckets(settings.source_deliveries_per_second_max)
        self._unlogged = 0
        self._log = get_logger().bind()

    def address_of(self, peer: str, headers: Mapping[str, str]) -> str:
        """Return the client address, taking trusted proxies into account."""
        return client_address(peer, headers, self._trusted) if self._trusted else peer

    def check_address(self, address: str, source: Source | None) -> None:
        """Check the rate limit of an address.

        Raises:
            RateLimited: too many recent deliveries from this address were rejected.
        """
        # Usually empty: then the address block need not be computed.
        if self._rejections is not None and len(self._rejections):
            wait = self._rejections.retry_after_seconds(address_block(address), time.monotonic())
            if wait:
                self._schedule_summary()
                detail = "Too many deliveries from this address were rejected."
                raise _rate_limited(RateLimited, source, detail, wait)

    def record_rejection(self, address: str, body_bytes: int = 0) -> None:
        """Count a rejection caused by the sender. A large body counts as several, since reading it took CPU time."""
        if self._rejections is not None:
            self._rejections.charge(address_block(address), time.monotonic(), 1 + body_bytes // BYTES_PER_REJECTION)

    def check_source(self, source: Source) -> None:
        """Check the rate limit of a source.

        Raises:
            Rejection: `too_many_requests`, the source exceeds its rate limit.
        """
        if self._accepted is not None:
            wait = self._accepted.acquire(source.name, time.monotonic())
            if wait:
                raise _rate_limited(Rejection, source, "This source exceeds its rate limit.", wait)

    def _schedule_summary(self) -> None:
        if not self._unlogged:
            asyncio.get_running_loop().call_later(LOG_INTERVAL_SECONDS, self._log_summary)
        self._unlogged += 1

    def _log_summary(self) -> None:
        self._log.warning("delivery.rate_limited", reason="too_many_requests", deliveries=self._unlogged)
        self._unlogged = 0


def _buckets(per_second_max: float) -> TokenBuckets | None:
    return TokenBuckets(per_second_max, BURST_SECONDS) if per_second_max else None


def _rate_limited(kind: type[Rejection], source: Source | None, detail: str, wait_seconds: float) -> Rejection:
    """Build the rejection: 429 if the platform retries on 429, else 503, since some platforms never retry a 4xx."""
    seconds = math.ceil(wait_seconds)
    headers = {"retry-after": str(seconds), "connection": "close"}
    status = 429 if source is not None and source.retries_on_429 else 503
    return kind(status, "too_many_requests", f"{detail} Retry after {seconds} s.", headers)
