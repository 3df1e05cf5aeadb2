"""Outages of accounts that answer 404: a gateway that lost its routes, or a path of waybill.yaml that is wrong.

Several different records that should exist and are missing, with none found in between, are an outage: no record
counts as deleted until the account has one again. Each worker observes its own calls.
"""

import structlog

from service.errors import Deferred
from service.events import RecordRef

RECORDS_MISSING_MAX = 4
"""Different records in a row that may be missing without an outage."""
RECORDS_MAX = 10_000
"""Missing records of an account that are remembered. Further ones are noted when they are fetched again."""
WAIT_SECONDS_MIN = 1.0


class MissingRecords:
    """Missing records of each account: since a record was found, and confirmed by a record that was found later."""

    def __init__(self) -> None:
        self._missing: dict[str, set[str]] = {}
        self._confirmed: dict[str, set[str]] = {}

    def add(self, record: RecordRef) -> None:
        """Note a record that should exist and is missing."""
        missing = self._missing.setdefault(record.platform, set())
        if record.lane in self._confirmed.get(record.platform, ()) or len(missing) >= RECORDS_MAX:
            return
        if record.lane not in missing and len(missing) == RECORDS_MISSING_MAX:
            structlog.get_logger().warning("platform.records_missing", platform=record.platform)
        missing.add(record.lane)

    def confirm(self, account: str) -> None:
        """Note that the account has a record: those that were missing before are missing."""
        missing = self._missing.get(account)
        if not missing:
            return
        if self._is_outage(account):
            structlog.get_logger().info("platform.records_found", platform=account)
        del self._missing[account]
        confirmed = self._confirmed.get(account, set[str]()) | missing
        self._confirmed[account] = confirmed if len(confirmed) <= RECORDS_MAX else missing

    def check(self, record: RecordRef, age_seconds: float, wait_seconds_max: float) -> None:
        """Check that a missing record may count as deleted.

        Raises:
            Deferred: The account has an outage. The event waits for half of its age, and at most `wait_seconds_max`.
        """
        confirmed = self._confirmed.get(record.platform, set[str]())
        if record.lane in confirmed:
            confirmed.remove(record.lane)
        elif self._is_outage(record.platform):
            reason = f"{record.platform} answers 404 for all records: check its base_url, its paths and its gateway"
            seconds = min(max(age_seconds / 2, WAIT_SECONDS_MIN), wait_seconds_max)
            raise Deferred("platform_records_missing", reason, seconds)

    def _is_outage(self, account: str) -> bool:
        return len(self._missing.get(account, ())) > RECORDS_MISSING_MAX
