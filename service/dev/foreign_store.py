"""The check of a store that a user names for `waybill dev` or `waybill demo`. It reads and never writes."""

import asyncio

from service.errors import ConfigError, StoreNotDurable, StoreUnavailable
from service.settings import Settings, load_settings
from service.store import Store

OWN_KEYS = {"key_prefix": "wbdev:", "queue": "wbdev:queue"}
"""Settings that keep the data of `dev` and `demo` apart from those of an installation in the same store."""

CONNECTION_TIMEOUT_SECONDS = "2"


def check_foreign_store(url: str, *, allow_data: bool) -> None:
    """Check that the store answers, and that it holds no rulebook and no events unless `allow_data`.

    Data of an installation and data of an earlier `dev` or `demo` are both found.

    Raises:
        ConfigError: it holds some, or cannot be used.
    """
    variables = {"WAYBILL_REDIS_URL": url, "WAYBILL_STORE_TIMEOUT_SECONDS": CONNECTION_TIMEOUT_SECONDS}
    own = {f"WAYBILL_{name.upper()}": value for name, value in OWN_KEYS.items()}
    try:
        for prefix in ({}, own):
            asyncio.run(_check_prefix(load_settings(variables | prefix), allow_data=allow_data))
    except ConfigError as error:
        raise ConfigError("--store", error.reason, error.fix) from None
    except (StoreUnavailable, StoreNotDurable) as error:
        fix = "name a store that answers and is durable, or leave --store out"
        raise ConfigError("--store", f"the store cannot be used: {error}", fix) from None


async def _check_prefix(settings: Settings, *, allow_data: bool) -> None:
    store = Store(settings)
    try:
        held = ["a rulebook"] if await store.rulebook.version() else []
        indexes = ("open", "dead", "ended")
        counts = [await store.client.command("ZCARD", store.keys.named(index)) for index in indexes]
        held += [f"{sum(counts)} events"] if sum(counts) else []
    finally:
        await store.close()
    if held and not allow_data:
        reason = f"the store holds {' and '.join(held)} under {settings.key_prefix}"
        raise ConfigError("--store", reason, "leave --store out, name an empty store, or add --yes to use this one")
