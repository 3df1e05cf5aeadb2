"""Asking of everything that is configured whether it works: configuration, stores, platforms, rulebook.

Nothing is changed, except that the store is written to as a check of readiness does. A platform is asked for one record
that it hardly has: that it answers "no such record" to our credentials is all there is to know.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct, structs

from service.config import Config, PlatformConfig
from service.config.platforms import secrets
from service.errors import ConfigError, PermanentError, StoreNotDurable, WaybillError
from service.events import RecordRef, new_event_id
from service.http_client import HttpClient
from service.ingestion.sources import build_sources
from service.platforms import Platform
from service.platforms.base import CallContext
from service.platforms.loading import read_config
from service.platforms.registry import build_platforms
from service.records import RECORDS
from service.settings import Settings, load_settings
from service.store import Store
from service.store.management.status import StoreInspector
from service.store.shards import shard_urls

CheckResult = Literal["ok", "warning", "failed"]

PROBE_ID = "0"
SKEW_WARNING_SECONDS = 1.0
SKEW_FAILED_SECONDS = 5.0
"""Beyond this a sender's fresh timestamp may look stale, and what waits for a moment comes at another."""

MEMORY_WARNING_PERCENT = 60
PLATFORM_SECONDS_MAX = 30.0


class Check(Struct, frozen=True):
    """What was asked of which part, what came of it, and what to know or do."""

    part: str
    asked: str
    result: CheckResult
    detail: str


async def run_diagnostics(environ: Mapping[str, str]) -> AsyncIterator[Check]:
    """Check everything, and give what is found as it is found."""
    try:
        settings = load_settings(environ)
    except ConfigError as error:
        yield Check("settings", "every WAYBILL_* variable", "failed", str(error))
        return
    yield Check("settings", "every WAYBILL_* variable", "ok", "")
    for check in _stores_named(settings):
        yield check
    path = Path(settings.config)
    reading = read_config(path, environ)
    for mistake in reading.mistakes:
        yield Check("configuration", str(path), "failed", str(mistake))
    if reading.config is not None:
        for warning in reading.config.warnings:
            yield Check("configuration", str(path), "warning", warning)
        async for check in _examine_parts(settings, reading.config, environ):
            yield check
    for url in _urls(settings):
        async for check in _examine_store(structs.replace(settings, redis_url=url)):
            yield check


async def _examine_parts(settings: Settings, config: Config, environ: Mapping[str, str]) -> AsyncIterator[Check]:
    """Build what is configured, and ask the platforms, all at once."""
    async with HttpClient(settings, config.outbound.allow_private_hosts) as outbound:
        try:
            platforms = build_platforms(config.platforms, environ, outbound)
            build_sources(config, environ, platforms, settings)
        except ConfigError as error:
            yield Check("configuration", str(config.path), "failed", str(error))
            return
        detail = f"{len(platforms)} platforms, {len(config.sources)} sources"
        yield Check("configuration", str(config.path), "ok", detail)
        asking = [_examine_platform(platforms[name], config.platforms[name]) for name in config.platforms]
        for check in await asyncio.gather(*asking):
            yield check


async def _examine_platform(platform: Platform, config: PlatformConfig) -> Check:
    part = f"platform {platform.account}"
    kind = min(config.known_kinds() & RECORDS.keys())
    free = not any(secrets(config, part))
    asked = f"{kind} {PROBE_ID}, {'without' if free else 'with its'} credentials"
    try:
        async with asyncio.timeout(PLATFORM_SECONDS_MAX):
            fetched = await platform.fetch(RecordRef(platform.account, kind, PROBE_ID), CallContext(new_event_id()))
    except PermanentError as error:
        # It let us in and disliked the id, which is a made-up one.
        liked = error.kind in {"platform_rejected", "platform_wrong_record"}
        return Check(part, asked, "ok" if liked else "failed", f"{error.kind}: {error}")
    except WaybillError as error:
        return Check(part, asked, "failed", f"{error.kind}: {error}")
    except TimeoutError:
        return Check(part, asked, "failed", f"no answer in {PLATFORM_SECONDS_MAX:g} seconds")
    found = "there is one" if fetched.record is not None else "there is none, which was to be expected"
    return Check(part, asked, "ok", f"{fetched.http_status} in {fetched.duration_ms:.0f} ms: {found}")


def _stores_named(settings: Settings) -> list[Check]:
    try:
        shard_urls(settings)
    except ConfigError as error:
        return [Check("store", "WAYBILL_SHARD_URLS", "failed", str(error))]
    return []


def _urls(settings: Settings) -> list[str]:
    return [settings.redis_url] if _stores_named(settings) else shard_urls(settings)


async def _examine_store(settings: Settings) -> AsyncIterator[Check]:
    try:
        store = Store(settings)
    except ConfigError as error:
        yield Check("store", "its address", "failed", str(error))
        return
    part = f"store {_place(settings.redis_url)}"
    try:
        await store.check()
    except StoreNotDurable as error:
        yield Check(part, f"durability {settings.durability}", "failed", str(error))
    except WaybillError as error:
        yield Check(part, "a write", "failed", f"{error.kind}: {error}")
    else:
        yield Check(part, f"a write under durability {settings.durability}", "ok", "")
        for check in [await _version(store), await _memory(store), await _clock(store), await _rulebook(store)]:
            yield structs.replace(check, part=part)
    finally:
        await store.close()


async def _version(store: Store) -> Check:
    return Check("", "version", "ok", await StoreInspector(store.client, store.keys).server())


async def _memory(store: Store) -> Check:
    used, percent = await store.sampler.memory()
    detail = f"{used / 1_048_576:.1f} MiB, {percent} % of its limit" if percent else f"{used / 1_048_576:.1f} MiB"
    return Check("", "memory", "warning" if percent >= MEMORY_WARNING_PERCENT else "ok", detail)


async def _clock(store: Store) -> Check:
    before = time.time()
    seconds, microseconds = [int(part) for part in await store.client.command("TIME")]
    after = time.time()
    return check_clock_skew(seconds + microseconds / 1_000_000, (before + after) / 2)


def check_clock_skew(theirs: float, ours: float) -> Check:
    """Say whether two clocks, in seconds since the epoch, are near enough to each other."""
    skew = abs(theirs - ours)
    result: CheckResult = "failed" if skew > SKEW_FAILED_SECONDS else "warning" if skew > SKEW_WARNING_SECONDS else "ok"
    return Check("", "clock", result, f"{skew:.3f} s apart from ours")


async def _rulebook(store: Store) -> Check:
    version = await store.rulebook.version()
    if version is None:
        return Check("", "rulebook", "failed", "none is published: waybill rules apply")
    return Check("", "rulebook", "ok", f"{version} is in force")


def _place(url: str) -> str:
    """Say where a store is, without the password that its URL may hold."""
    return url.rpartition("@")[2].rpartition("://")[2]
