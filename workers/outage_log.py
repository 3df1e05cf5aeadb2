"""Log lines of a worker about a store that it cannot use."""

import structlog

from service.errors import StoreNotDurable, WaybillError


def log_outage(error: WaybillError) -> None:
    """Log `store.not_durable` for a store that does not meet WAYBILL_DURABILITY, `store.unavailable` for others."""
    log = structlog.get_logger()
    if isinstance(error, StoreNotDurable):
        fix = "correct the store's configuration or WAYBILL_DURABILITY; the worker claims no job until then"
        log.error("store.not_durable", reason=str(error), fix=fix)
    else:
        log.error("store.unavailable", error_kind=error.kind, reason=str(error))


class OutageLog:
    """Log lines of an outage: one per error kind when it begins, and one when it ends."""

    def __init__(self) -> None:
        self._kind = ""

    def begin(self, error: WaybillError) -> None:
        """Log the error of a failed call, unless the call before failed with the same kind."""
        if self._kind != error.kind:
            log_outage(error)
        self._kind = error.kind

    def end(self) -> None:
        """Log `store.recovered` if an outage was in progress."""
        if self._kind:
            structlog.get_logger().info("store.recovered")
        self._kind = ""
