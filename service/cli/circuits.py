"""Last errors of accounts and destinations in lists."""

from datetime import UTC, datetime

from service.cli.lists import short_age
from service.management.circuits import ErrorView


def format_last_error(error: ErrorView | None) -> str:
    """Format the last error of a list: kind, HTTP status and age; empty if there was none."""
    if error is None:
        return ""
    status = f" {error.http_status}" if error.http_status else ""
    return f"{error.error_kind}{status}, {short_age(error.at, datetime.now(UTC))} ago"
