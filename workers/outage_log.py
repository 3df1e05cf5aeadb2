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
