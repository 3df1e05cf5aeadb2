"""Checks of stores by `waybill doctor`: durability, installation, memory, clocks, rulebook, records and proxies."""

import time
from collections.abc import AsyncIterator, Container, Mapping, Sequence
from contextlib import suppress
from typing import Literal

from msgspec import Struct, structs

from service.clock_difference import CLOCK_DIFFERENCE_SECONDS_MAX, FIX
from service.errors import ConfigError, StoreNotDurable, WaybillError
from service.management.stores import store_name
from service.plurals import count_noun
from service.settings import Settings
from service.ssrf_guard import parse_cidrs
from service.store import Shards, Store, build_shards
from service.store.management.status import StoreInspector
from service.trusted_proxies import is_trusted

CheckResult = Literal["ok", "warning", "failed", "skipped"]

SKEW_FAILED_SECONDS = 5.0
"""A larger clock difference makes fresh timestamps look stale and shifts scheduled times."""

MEMORY_WARNING_PERCENT = 60


class Check(Struct, frozen=True):
    """Result of one check. `detail` holds the measurement, or the error and its fix."""

    part: str
    check: str
    result: CheckResult
    detail: str


async def check_store(settings: Settings, found_records: list[Mapping[str, bool]]) -> AsyncIterator[Check]:
    """Run the checks of the store. Append whether it knows records of each account to `found_records`."""
    try:
        shards = build_shards(settings)
    except ConfigError as error:
        yield Check("store", "address", "failed", str(error))
        return
    part = f"store {store_name(settings)}"
    try:
        await shards.check()
        await shards.require_number()
    except ConfigError as error:
        yield Check(part, "shards", "failed", str(error))
    except StoreNotDurable as error:
        yield Check(part, f"durability {settings.durability}", "failed", str(error))
    except WaybillError as error:
        yield Check(part, "write", "failed", f"{error.kind}: {error}")
    else:
        yield Check(part, f"write with durability {settings.durability}", "ok", "")
        for check in (_version, _installation, _memory, _clock, _worker_clocks, _rulebook, _proxies):
            yield structs.replace(await check(shards.home), part=part)
        yield structs.replace(await _damaged(shards), part=part)
        found_records.append(await shards.home.found_records.accounts())
    finally:
        await shards.close()


async def _version(store: Store) -> Check:
    return Check("", "version", "ok", await StoreInspector(store.client, store.keys).server())


async def _installation(store: Store) -> Check:
    record, own_id = await store.installation.record(), store.settings.installation_id
    if record is None:
        return Check("", "installation", "ok", "none yet")
    detail = f"{record.id}, generation {record.generation}"
    if record.lost or own_id not in {"", record.id}:
        problem = "the store has lost its data" if record.lost else f"WAYBILL_INSTALLATION_ID is {own_id}"
        return Check("", "installation", "failed", f"{detail}: {problem}. Fix: store.lost in docs/how-to/operations.md")
    return Check("", "installation", "ok", detail)


async def _memory(store: Store) -> Check:
    used, percent = await store.queue_stats.memory()
    detail = f"{used / 1_048_576:.1f} MiB, {percent} % of the limit" if percent else f"{used / 1_048_576:.1f} MiB"
    return Check("", "memory", "warning" if percent >= MEMORY_WARNING_PERCENT else "ok", detail)


async def _clock(store: Store) -> Check:
    before = time.time()
    seconds, microseconds = [int(part) for part in await store.client.command("TIME")]
    after = time.time()
    return check_clock_skew(seconds + microseconds / 1_000_000, (before + after) / 2)


def check_clock_skew(store_seconds: float, local_seconds: float) -> Check:
    """Compare the store's clock with the local clock, both in seconds since the epoch."""
    skew = abs(store_seconds - local_seconds)
    result: CheckResult = (
        "failed" if skew > SKEW_FAILED_SECONDS else "warning" if skew > CLOCK_DIFFERENCE_SECONDS_MAX else "ok"
    )
    return Check("", "clock", result, f"differs from the local clock by {skew:.3f} s")


async def _worker_clocks(store: Store) -> Check:
    """Compare the store's clock with the clock of each worker, as the worker measured it."""
    heartbeats = [each for each in await StoreInspector(store.client, store.keys).heartbeats() if each.alive]
    skewed = [each for each in heartbeats if abs(each.clock_difference_seconds) > CLOCK_DIFFERENCE_SECONDS_MAX]
    if not skewed:
        return Check("", "clocks of workers", "ok", f"{count_noun(len(heartbeats), 'worker')} compared")
    found = ", ".join(f"{each.worker} by {abs(each.clock_difference_seconds):.3f} s" for each in skewed)
    return Check("", "clocks of workers", "warning", f"the store's clock differs from that of {found}. Fix: {FIX}")


async def _rulebook(store: Store) -> Check:
    version = await store.rulebook.version()
    if version is None:
        return Check("", "rulebook", "failed", "no rulebook is published. Fix: waybill rules apply")
    return Check("", "rulebook", "ok", f"version {version} is active")


async def _damaged(shards: Shards) -> Check:
    """List the keys that were set aside."""
    keys = [key for store in shards.stores for key in await store.damaged_keys()]
    if not keys:
        return Check("", "keys", "ok", "no key was damaged by another program")
    found = "; ".join(f"{each.key} was a {each.found_type}, not a {each.expected_type}" for each in keys)
    return Check("", "keys", "failed", f"set aside, and used anew: {found}. Fix: {keys[0].fix}")


def check_found_records(stores: Sequence[Mapping[str, bool]], configured: Container[str]) -> Check:
    """Find configured accounts that were asked for records and had none. `stores` have the answers of all stores."""
    found = {account for store in stores for account, is_found in store.items() if is_found}
    missing = sorted({account for store in stores for account in store if account in configured} - found)
    if not missing:
        return Check("store", "records", "ok", "records of every account that was asked were found")
    fix = "check base_url and the paths of the kinds of record, then run: waybill doctor --record ACCOUNT:KIND:ID"
    return Check("store", "records", "warning", f"no record of {', '.join(missing)} was ever found. Fix: {fix}")


async def _proxies(store: Store) -> Check:
    """Compare the proxy that a service recorded in the last day with WAYBILL_TRUSTED_PROXIES of this environment."""
    peer = await store.untrusted_proxy.peer()
    name = "trusted proxies"
    if peer is None:
        return Check("", name, "ok", "every signed delivery of the last day came directly or through a trusted proxy")
    with suppress(ConfigError):  # an invalid setting is reported with the settings
        if is_trusted(peer, parse_cidrs(store.settings.trusted_proxies)):
            return Check("", name, "ok", f"{peer} was not trusted within the last day, and is now")
    state = "does not name" if store.settings.trusted_proxies else "is not set and does not name"
    problem = f"signed deliveries came with X-Forwarded-For from {peer}, which WAYBILL_TRUSTED_PROXIES {state}"
    fix = "add the addresses of your proxies, so that each sender has its own rate limit and its address in the log"
    return Check("", name, "warning", f"{problem}: all senders behind it count as one client. Fix: {fix}")
