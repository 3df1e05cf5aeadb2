"""Log lines of the service and the workers about a store that they cannot use."""

from service.errors import StoreLost, StoreNotDurable, WaybillError
from service.log import get_logger


def log_outage(error: WaybillError, effect: str) -> None:
    """Log `store.lost`, `store.not_durable` or `store.unavailable`. `effect` is what the process does until the fix."""
    log = get_logger()
    if isinstance(error, StoreLost):
        fix = f"restore the data, or accept the loss with the command in `reason`; {effect} until then"
        log.error("store.lost", reason=str(error), fix=fix)
    elif isinstance(error, StoreNotDurable):
        fix = f"correct the store's configuration or WAYBILL_DURABILITY; {effect} until then"
        log.error("store.not_durable", reason=str(error), fix=fix)
    else:
        log.error("store.unavailable", error_kind=error.kind, reason=str(error))
