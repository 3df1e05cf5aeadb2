"""What is told of a store that cannot be reached as it is configured: the setting, and what is wrong with it."""

from collections.abc import Callable

import pytest
import redis

from service.dev.embedded_valkey import EmbeddedValkey
from service.errors import ConfigError, StoreUnavailable
from tests.service.store.builders import store_on


@pytest.mark.parametrize(
    ("url", "settings", "told"),
    [
        ("http://db", {}, "WAYBILL_REDIS_URL: .*redis://host:6379/0"),
        ("redis://db", {"redis_sentinel": "db"}, "WAYBILL_REDIS_SENTINEL: db is not host:port.*sentinel-1:26379"),
        ("redis://db", {"redis_sentinel": "a:1,,b:2"}, "WAYBILL_REDIS_SENTINEL: an empty part is not host:port"),
        ("redis://db", {"redis_sentinel": "a:b"}, "WAYBILL_REDIS_SENTINEL: a:b is not host:port"),
        (
            "rediss://db",
            {"redis_tls_ca_file": "/nowhere.pem"},
            "WAYBILL_REDIS_TLS_CA_FILE: /nowhere.pem cannot be read",
        ),
    ],
)
async def test_an_address_that_cannot_be_meant_stops_the_process_by_its_setting(
    url: str, settings: dict[str, str], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        async with store_on(url, **settings):
            pass


async def test_sentinels_that_are_not_there_are_told_by_their_setting(free_port: int) -> None:
    async with store_on("redis://db", redis_sentinel=f"127.0.0.1:{free_port}") as store:
        with pytest.raises(
            StoreUnavailable, match=r"No master found.*; check WAYBILL_REDIS_SENTINEL and that the store is running"
        ):
            await store.check()


@pytest.mark.parametrize(("given", "told"), [("", "Authentication required"), (":guessed", "WRONGPASS|invalid")])
async def test_a_missing_or_wrong_password_is_told_as_such_and_never_shown(
    given: str, told: str, own_valkey: Callable[..., EmbeddedValkey], free_port: int
) -> None:
    server = own_valkey("--port", str(free_port), "--bind", "127.0.0.1")
    with redis.Redis(unix_socket_path=server.url.removeprefix("unix://")) as client:
        client.execute_command("CONFIG", "SET", "requirepass", "secret-4711")  # pyright: ignore[reportUnknownMemberType] - redis-py types it with a hole
    async with store_on(f"redis://{given}{'@' if given else ''}127.0.0.1:{free_port}") as store:
        with pytest.raises(StoreUnavailable, match=told) as failed:
            await store.check()
    assert "WAYBILL_REDIS_URL" in str(failed.value)
    assert "guessed" not in str(failed.value)
