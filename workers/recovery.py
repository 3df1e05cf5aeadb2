"""Recovery of accounts and destinations: parked jobs become due when a circuit closes, before that one as a probe."""

import asyncio
from collections.abc import Callable, Mapping

from service.background import TaskFailures
from service.config.throttles import UNLIMITED
from service.store import Store

CHECK_SECONDS = 1.0


async def run_recovery(store: Store, shared: Store, rates: Callable[[], Mapping[str, float]]) -> None:
    """Free parked jobs of `store` every second, until cancelled. `shared` has the state of accounts and destinations.

    `rates` returns the calls per second that the limits of each of them admit. The number of parked jobs does not
    matter: nothing reads a job before it is freed.
    """
    failures = TaskFailures("recovery")
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        with failures.handled():
            await free_parked_jobs(store, shared, rates())


async def free_parked_jobs(store: Store, shared: Store, rates: Mapping[str, float]) -> None:
    """Free the parked jobs that the circuits admit now.

    Raises:
        StoreUnavailable, StoreNotDurable: a store cannot be used.
    """
    parked = await store.parking.accounts()
    circuits = await shared.limits.open_circuits() if parked else {}
    for account in parked:
        seconds = circuits.get(account)
        if seconds is None or seconds <= 0:
            # Present without time: the open time is over, or calls failed recently. One job shows the state.
            circuit = "closed" if seconds is None else "probe"
            await store.parking.unpark(account, circuit, rates.get(account, UNLIMITED))
