"""Check of a store for `dev` or `demo`: rejected if it contains data, never changed."""

import asyncio
from collections.abc import Callable

import pytest
import redis

from service.dev.foreign_store import OWN_KEYS, check_foreign_store
from service.errors import ConfigError
from service.settings import Settings
from service.store import IngestRequest, open_shards
from tests.service.store.builders import make_event

MakeSettings = Callable[..., Settings]
PREFIXES = pytest.mark.parametrize("own", [{}, OWN_KEYS], ids=["installation", "earlier dev"])


def keys(url: str) -> set[bytes]:
    with redis.Redis(unix_socket_path=url.removeprefix("unix://")) as client:
        return set(client.keys())  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType, reportArgumentType, reportUnknownArgumentType]


def test_an_unreachable_store_is_rejected(free_port: int) -> None:
    with pytest.raises(ConfigError, match=r"^--store: the store cannot be used: .*check --store.* Fix: give a store"):
        check_foreign_store(f"redis://127.0.0.1:{free_port}/0", allow_data=True)


def test_an_invalid_address_is_rejected() -> None:
    with pytest.raises(ConfigError, match=r"^--store: .* Fix: write redis://"):
        check_foreign_store("localhost", allow_data=False)


@PREFIXES
def test_a_store_with_a_rulebook_is_rejected_unless_allowed(own: dict[str, str], make_settings: MakeSettings) -> None:
    settings = make_settings(**own)
    asyncio.run(publish(settings))
    with pytest.raises(
        ConfigError, match=f"contains a rulebook with key prefix {settings.key_prefix}. Fix: omit --store"
    ):
        check_foreign_store(settings.redis_url, allow_data=False)
    check_foreign_store(settings.redis_url, allow_data=True)


@PREFIXES
def test_a_store_with_an_event_is_rejected_unless_allowed(own: dict[str, str], make_settings: MakeSettings) -> None:
    settings = make_settings(**own)
    asyncio.run(ingest(settings))
    with pytest.raises(ConfigError, match=f"contains 1 event with key prefix {settings.key_prefix}"):
        check_foreign_store(settings.redis_url, allow_data=False)
    check_foreign_store(settings.redis_url, allow_data=True)


def test_an_empty_store_is_accepted_and_stays_empty(valkey_url: str) -> None:
    check_foreign_store(valkey_url, allow_data=False)
    assert keys(valkey_url) == set()


async def publish(settings: Settings) -> None:
    shards = await open_shards(settings)
    assert await shards.home.rulebook.publish("v1", b"{}", "somebody", "", None)
    await shards.close()


async def ingest(settings: Settings) -> None:
    shards = await open_shards(settings)
    await shards.ingest_all([IngestRequest(make_event(), "claim", 1_000)])
    await shards.close()
