"""Checks of `waybill doctor`: settings, configuration, platforms, destinations, stores and rulebook.

Nothing is changed except a probe key in each store. Each platform is asked for a record that probably does not exist:
the answer "not found" shows that address and credentials are correct. Then one existing record of each kind is fetched,
the first of its list or the one that the operator names, to find documented fields that it does not contain. A
destination gets a request without an effect, and a mail server a login.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from service.cli.store_diagnostics import Check, CheckResult, check_found_records, check_store
from service.config import Config, PlatformConfig
from service.config.platforms import secrets
from service.configuration import read_config
from service.destinations.destination import Destination
from service.destinations.registry import Destinations, DestinationSetup
from service.errors import ConfigError, PermanentError, WaybillError
from service.events import RecordRef, new_event_id
from service.http_client import HttpClient
from service.ingestion.sources import build_sources
from service.platforms import Platform
from service.platforms.api.pointer_map import missing_fields
from service.platforms.base import CallContext
from service.platforms.registry import build_platforms
from service.plurals import count_noun
from service.settings import Settings, load_settings
from service.trusted_proxies import proxy_warnings

PROBE_ID = "0"
PLATFORM_TIMEOUT_SECONDS = 30.0

SETTINGS_CHECK = "WAYBILL_* variables"


async def run_diagnostics(environ: Mapping[str, str], records: Sequence[RecordRef] = ()) -> AsyncIterator[Check]:
    """Run all checks and yield each result; `records` are examples of kinds that a platform does not list."""
    try:
        settings = load_settings(environ)
    except ConfigError as error:
        yield Check("settings", SETTINGS_CHECK, "failed", str(error))
        return
    yield Check("settings", SETTINGS_CHECK, "ok", "")
    for check in _check_proxies(settings):
        yield check
    path = Path(settings.config)
    reading = read_config(path, environ)
    for mistake in reading.mistakes:
        yield Check("configuration", str(path), "failed", str(mistake))
    if reading.config is not None:
        for warning in reading.config.warnings:
            yield Check("configuration", str(path), "warning", warning)
        async for check in _check_configured_parts(settings, reading.config, environ, records):
            yield check
    async for check in _check_store(settings, reading.config):
        yield check


async def _check_configured_parts(
    settings: Settings, config: Config, environ: Mapping[str, str], records: Sequence[RecordRef]
) -> AsyncIterator[Check]:
    """Build platforms and sources, and request a record of all platforms concurrently."""
    async with HttpClient(settings, config.outbound.allow_private_hosts) as outbound:
        try:
            platforms = build_platforms(config.platforms, environ, outbound, records=config.record_types)
            build_sources(config, environ, platforms, settings)
            destinations = Destinations(config.destinations, DestinationSetup(http_client=outbound, environ=environ))
        except ConfigError as error:
            yield Check("configuration", str(config.path), "failed", str(error))
            return
        counts = {"platform": platforms, "source": config.sources, "destination": config.destinations}
        detail = ", ".join(count_noun(len(parts), noun) for noun, parts in counts.items())
        yield Check("configuration", str(config.path), "ok", detail)
        for ref in records:
            if ref.platform not in platforms:
                yield Check("configuration", "--record", "failed", f"there is no platform {ref.platform}")
        probes = [_check_platform(platforms[name], config.platforms[name], records) for name in config.platforms]
        for checks in await asyncio.gather(*probes):
            for check in checks:
                yield check
        for check in await asyncio.gather(*map(_check_destination, destinations.by_name.values())):
            yield check


async def _check_store(settings: Settings, config: Config | None) -> AsyncIterator[Check]:
    """Check the store and, if the configuration is valid, what it knows about records."""
    found_records = list[Mapping[str, bool]]()
    async for check in check_store(settings, found_records):
        yield check
    if config is not None and found_records:
        yield check_found_records(found_records, config.platforms)


async def _check_destination(destination: Destination) -> Check:
    part, name = f"destination {destination.name}", f"connect to {destination.config.shown_url}"
    try:  # its timeouts limit the call
        return Check(part, name, "ok", await destination.check())
    except WaybillError as error:
        return Check(part, name, "failed", f"{error.kind}: {error}")


async def _check_platform(platform: Platform, config: PlatformConfig, records: Sequence[RecordRef]) -> list[Check]:
    probe = await _check_access(platform, config)
    if probe.result == "failed":
        return [probe]
    named = {ref.kind: ref for ref in records if ref.platform == platform.account}
    kinds = sorted(config.record_kinds() | named.keys())
    fields = [await _check_fields(platform, config, kind, named.get(kind)) for kind in kinds]
    names, command = ", ".join(config.declared_operations()), f"waybill platforms write {platform.account} NAME"
    detail = f"{names}: not called, because they change data. To call one: {command}"
    return [probe, *fields, *([Check(probe.part, "operations", "skipped", detail)] if names else [])]


async def _check_fields(platform: Platform, config: PlatformConfig, kind: str, ref: RecordRef | None) -> Check:
    """Fetch one record and list the expected fields that it does not contain."""
    part, name = f"platform {platform.account}", f"fields of {kind}"
    try:
        async with asyncio.timeout(PLATFORM_TIMEOUT_SECONDS):
            result, detail = await _find_missing_fields(platform, config, kind, ref)
    except WaybillError as error:
        return Check(part, name, "warning", f"{error.kind}: {error}")
    except TimeoutError:
        return Check(part, name, "warning", f"no response within {PLATFORM_TIMEOUT_SECONDS:g} s")
    return Check(part, name, result, detail)


async def _find_missing_fields(
    platform: Platform, config: PlatformConfig, kind: str, ref: RecordRef | None
) -> tuple[CheckResult, str]:
    account, context = platform.account, CallContext(new_event_id())
    if ref is None and kind not in config.listed_kinds():
        fix = f"waybill doctor --record {account}:{kind}:ID"
        return "skipped", f"{account} does not list {kind}. To check a record: {fix}"
    if ref is None:
        items = (await platform.list_records(kind, None, context)).items
        if not items:
            return "skipped", f"the first page of {kind} is empty"
        ref = RecordRef(account, kind, items[0].id)
    fetched = await platform.fetch(ref, context)
    if fetched.record is None:
        return "warning", f"{kind} {ref.id} does not exist: {fetched.reason}"
    expected = config.expected_fields(kind)
    missing = missing_fields(expected, fetched.record)
    if not missing:
        return "ok", f"{kind} {ref.id}: {count_noun(len(expected), 'field')} checked, none missing"
    fix = f"If the platform has them under other names, add pointers to platforms.{account}.{config.map_path(kind)}"
    return "warning", f"{kind} {ref.id}: not found: {', '.join(missing)}. {fix}"


async def _check_access(platform: Platform, config: PlatformConfig) -> Check:
    part = f"platform {platform.account}"
    kind = min(config.record_kinds())
    without_credentials = not any(secrets(config, part))
    name = f"fetch {kind} {PROBE_ID} {'without' if without_credentials else 'with'} credentials"
    try:
        async with asyncio.timeout(PLATFORM_TIMEOUT_SECONDS):
            fetched = await platform.fetch(RecordRef(platform.account, kind, PROBE_ID), CallContext(new_event_id()))
    except PermanentError as error:
        # These kinds mean that the platform accepted the credentials and rejected only the probe id.
        accepted = error.kind in {"platform_rejected", "platform_wrong_record"}
        return Check(part, name, "ok" if accepted else "failed", f"{error.kind}: {error}")
    except WaybillError as error:
        return Check(part, name, "failed", f"{error.kind}: {error}")
    except TimeoutError:
        return Check(part, name, "failed", f"no response within {PLATFORM_TIMEOUT_SECONDS:g} s")
    credentials = "" if without_credentials else ", credentials accepted"
    note = f"{fetched.http_status} in {fetched.duration_ms:.0f} ms"
    if fetched.record is None:
        note = f"{fetched.http_status} for a probe id, in {fetched.duration_ms:.0f} ms"
    return Check(part, name, "ok", f"reachable{credentials} ({note})")


def _check_proxies(settings: Settings) -> list[Check]:
    name = "WAYBILL_TRUSTED_PROXIES"
    try:
        return [Check("settings", name, "warning", warning) for warning in proxy_warnings(settings.trusted_proxies)]
    except ConfigError as error:
        return [Check("settings", name, "failed", str(error))]
