"""Recovery of accounts and destinations: parked jobs become due when a circuit closes, before that one as a probe."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Literal

from service.background import TaskFailures
from service.config.throttles import UNLIMITED
from service.store import Shards, Store

CHECK_SECONDS = 1.0


async def run_recovery(
    shards: Shards, rates: Callable[[], Mapping[str, float]], seconds: float = CHECK_SECONDS
) -> None:
    """Free parked jobs every `seconds`, until cancelled.

    `rates` returns the calls per second that the limits of each of them admit. The number of parked jobs does not
    matter: nothing reads a job before it is freed.
    """
    failures = TaskFailures("recovery")
    while True:
        await asyncio.sleep(seconds)
        with failures.handled():
            await free_parked_jobs(shards, rates())


async def free_parked_jobs(shards: Shards, rates: Mapping[str, float]) -> None:
    """Free the parked jobs that the circuits admit now. The first shard has the circuits.

    Raises:
        StoreUnavailable, StoreNotDurable: a store cannot be used.
    """
    waiting: dict[str, list[tuple[float, Store]]] = {}
    for store, accounts in (await shards.parked_jobs()).items():
        for account, jobs in accounts.items():
            waiting.setdefault(account, []).append((jobs.age_seconds, store))
    circuits = await shards.home.limits.open_circuits() if waiting else {}
    for account, found in waiting.items():
        seconds = circuits.get(account)
        if seconds is None or seconds <= 0:
            # Present without time: the open time is over, or calls failed recently. One job shows the state.
            await _free(account, found, "closed" if seconds is None else "probe", rates.get(account, UNLIMITED))


async def _free(
    account: str, found: list[tuple[float, Store]], circuit: Literal["probe", "closed"], per_second_max: float
) -> None:
    """Free jobs of an account in the shards that wait for longest: as many shards as jobs are admitted per second."""
    stores = [store for _, store in sorted(found, key=lambda each: each[0], reverse=True)]
    chosen = stores[: 1 if circuit == "probe" else max(int(min(per_second_max, len(stores))), 1)]
    for store in chosen:
        await store.parking.unpark(account, circuit, per_second_max / len(chosen))
