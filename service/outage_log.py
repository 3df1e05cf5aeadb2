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


class OutageLog:
    """Log lines of an outage: one per error kind when it begins, and one when it ends. `effect` as in `log_outage`."""

    def __init__(self, effect: str) -> None:
        self._effect = effect
        self._kind = ""

    def begin(self, error: WaybillError) -> None:
        """Log the error of a failed call, unless the call before failed with the same kind."""
        if self._kind != error.kind:
            log_outage(error, self._effect)
        self._kind = error.kind

    def end(self) -> None:
        """Log `store.recovered` if an outage was in progress."""
        if self._kind:
            get_logger().info("store.recovered")
        self._kind = ""
