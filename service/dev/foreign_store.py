"""Check of the store that `--store` of `waybill dev` or `waybill demo` names. Reads only."""

import asyncio

from service.errors import ConfigError, StoreNotDurable, StoreUnavailable
from service.plurals import count_noun
from service.settings import Settings, load_settings
from service.store import build_shards
from service.store.management.status import StoreInspector

OWN_KEYS = {"key_prefix": "wbdev:"}
"""Setting that separates the data of `dev` and `demo` from an installation in the same store."""

STORE_TIMEOUT_SECONDS = "2"


def check_foreign_store(url: str, *, allow_data: bool) -> None:
    """Check that the store responds and, unless `allow_data`, that it contains no rulebook and no events.

    Data of an installation and data of an earlier `dev` or `demo` are both found.

    Raises:
        ConfigError: the store contains data, or cannot be used.
    """
    variables = {"WAYBILL_REDIS_URL": url, "WAYBILL_STORE_TIMEOUT_SECONDS": STORE_TIMEOUT_SECONDS}
    own = {f"WAYBILL_{name.upper()}": value for name, value in OWN_KEYS.items()}
    try:
        for prefix in ({}, own):
            asyncio.run(_check_prefix(load_settings(variables | prefix), allow_data=allow_data))
    except ConfigError as error:
        raise ConfigError("--store", error.reason, error.fix) from None
    except (StoreUnavailable, StoreNotDurable) as error:
        fix = "give a store that is reachable and durable, or omit --store"
        reason = str(error).replace("WAYBILL_REDIS_URL", "--store")
        raise ConfigError("--store", f"the store cannot be used: {reason}", fix) from None


async def _check_prefix(settings: Settings, *, allow_data: bool) -> None:
    shards = build_shards(settings)
    try:
        contents = ["a rulebook"] if await shards.home.rulebook.version() else []
        counts = [await StoreInspector(store.client, store.keys).counts() for store in shards.stores]
        events = sum(sum(each.values()) for each in counts)
        contents += [count_noun(events, "event")] if events else []
    finally:
        await shards.close()
    if contents and not allow_data:
        reason = f"the store contains {' and '.join(contents)} with key prefix {settings.key_prefix}"
        raise ConfigError("--store", reason, "omit --store, give an empty store, or add --yes to use this store")
