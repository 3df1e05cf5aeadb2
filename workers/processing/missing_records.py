"""Outages of accounts that answer 404: a gateway that lost its routes, or a path of waybill.yaml that is wrong.

Several different records that should exist and are missing, with none found in between, are an outage: no record
counts as deleted until the account has one again.
"""

import structlog

from service.errors import Deferred
from service.events import RecordRef

RECORDS_MISSING_MAX = 5
"""Different records in a row that may be missing without an outage."""
WAIT_SECONDS_MIN = 1.0


class MissingRecords:
    """Missing records of each account, since a record was found. Each worker has its own."""

    def __init__(self) -> None:
        self._missing: dict[str, set[str]] = {}

    def add(self, record: RecordRef) -> None:
        """Note a record that should exist and is missing."""
        missing = self._missing.setdefault(record.platform, set())
        if len(missing) < RECORDS_MISSING_MAX:
            missing.add(record.lane)
            if len(missing) == RECORDS_MISSING_MAX:
                structlog.get_logger().warning(
                    "platform.records_missing", platform=record.platform, records=RECORDS_MISSING_MAX
                )

    def clear(self, account: str) -> None:
        """Note that the account has a record: its missing records are missing."""
        if len(self._missing.pop(account, ())) == RECORDS_MISSING_MAX:
            structlog.get_logger().info("platform.records_found", platform=account)

    def check(self, record: RecordRef, age_seconds: float, wait_seconds_max: float) -> None:
        """Check that the missing record of an event may count as deleted.

        Raises:
            Deferred: The account has an outage. The event waits for half of its age, and at most `wait_seconds_max`.
        """
        if len(self._missing.get(record.platform, ())) == RECORDS_MISSING_MAX:
            reason = f"{record.platform} answers 404 for all records: check its base_url, its paths and its gateway"
            seconds = min(max(age_seconds / 2, WAIT_SECONDS_MIN), wait_seconds_max)
            raise Deferred("platform_records_missing", reason, seconds)
