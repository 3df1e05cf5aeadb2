"""Rate limits: rejected deliveries per client and source, accepted deliveries per source. Token buckets, per process.

A client is an address block. Only rejections count, so that senders behind one proxy do not limit each other. Above
its limit a client is still verified: a correctly signed delivery is accepted. Its rejections are not quarantined, one
log line per second summarizes them, and its compressed bodies may expand less.
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
from service.trusted_proxies import is_trusted

BURST_SECONDS = 5.0
"""Burst size in seconds of the rate."""

BYTES_PER_REJECTION = 4_096
"""Body bytes, as sent, that count as one more rejection. `service.ingress.request.body` limits their expansion."""

LOG_INTERVAL_SECONDS = 1.0
WARNING_INTERVAL_SECONDS = 3_600.0
"""Interval of `proxy.untrusted`, which `waybill doctor` reports for a day."""


class RateLimited(Rejection):
    """Rejection of a client above its limit; logged in a summary instead of a line per delivery."""


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
        self._warning_due = 0.0
        self._log = get_logger().bind()

    def address_of(self, peer: str, headers: Mapping[str, str]) -> str:
        """Return the client address, taking trusted proxies into account."""
        return client_address(peer, headers, self._trusted) if self._trusted else peer

    def warn_of_untrusted_proxy(self, peer: str, headers: Mapping[str, str]) -> bool:
        """Log that a verified delivery came through a proxy that is not trusted: all its senders are one client.

        Only verified deliveries count, or anyone could cause the warning. Once an hour.

        Returns:
            Whether the line was logged.
        """
        now = time.monotonic()
        if now < self._warning_due or "x-forwarded-for" not in headers or is_trusted(peer, self._trusted):
            return False
        self._warning_due = now + WARNING_INTERVAL_SECONDS
        fix = "add the addresses of the proxy to WAYBILL_TRUSTED_PROXIES, so that each sender has its own rate limit"
        self._log.warning("proxy.untrusted", proxy_host=peer, fix=fix)
        return True

    def is_limited(self, address: str, source: str) -> bool:
        """Return true if too many recent deliveries of this client to this source were rejected."""
        # Usually empty: then the address block need not be computed.
        return bool(self._rejections) and self._wait_seconds(address, source) > 0

    def record_rejection(self, address: str, source: str, body_bytes: int = 0) -> float:
        """Count a rejection caused by the sender. A large body counts as several.

        Returns:
            0, or the seconds to wait if the client is above its limit; then the rejection only counts in the summary.
        """
        if self._rejections is None:
            return 0.0
        wait = self._wait_seconds(address, source)
        if wait:
            self._schedule_summary()
        else:
            tokens = 1 + body_bytes // BYTES_PER_REJECTION
            self._rejections.charge(_key(address, source), time.monotonic(), tokens)
        return wait

    def limit(self, wait_seconds: float, source: Source | None) -> Rejection:
        """Return the rejection of a client above its limit."""
        detail = "Too many deliveries of this client were rejected."
        return _rate_limited(RateLimited, source, detail, wait_seconds)

    def check_source(self, source: Source) -> None:
        """Check the rate limit of a source.

        Raises:
            Rejection: `too_many_requests`, the source exceeds its rate limit.
        """
        if self._accepted is not None:
            wait = self._accepted.acquire(source.name, time.monotonic())
            if wait:
                raise _rate_limited(Rejection, source, "This source exceeds its rate limit.", wait)

    def _wait_seconds(self, address: str, source: str) -> float:
        if not self._rejections:
            return 0.0
        return self._rejections.retry_after_seconds(_key(address, source), time.monotonic())

    def _schedule_summary(self) -> None:
        if not self._unlogged:
            asyncio.get_running_loop().call_later(LOG_INTERVAL_SECONDS, self._log_summary)
        self._unlogged += 1

    def _log_summary(self) -> None:
        self._log.warning("delivery.rate_limited", reason="too_many_requests", deliveries=self._unlogged)
        self._unlogged = 0


def _key(address: str, source: str) -> str:
    return f"{address_block(address)} {source}"


def _buckets(per_second_max: float) -> TokenBuckets | None:
    return TokenBuckets(per_second_max, BURST_SECONDS) if per_second_max else None


def _rate_limited(kind: type[Rejection], source: Source | None, detail: str, wait_seconds: float) -> Rejection:
    """Build the rejection: 429 if the platform retries on 429, else 503, since some platforms never retry a 4xx."""
    seconds = math.ceil(wait_seconds)
    headers = {"retry-after": str(seconds), "connection": "close"}
    status = 429 if source is not None and source.retries_on_429 else 503
    return kind(status, "too_many_requests", f"{detail} Retry after {seconds} s.", headers)
