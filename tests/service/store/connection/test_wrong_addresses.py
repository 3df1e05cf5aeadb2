"""Errors of a wrong store address: they name the setting and the problem."""

from collections.abc import Callable

import pytest
import redis

from service.dev.embedded_valkey import EmbeddedValkey
from service.errors import ConfigError, StoreUnavailable
from tests.service.store.builders import store_on


@pytest.mark.parametrize(
    ("url", "settings", "message"),
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
async def test_invalid_address_is_a_config_error(url: str, settings: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        async with store_on(url, **settings):
            pass


async def test_error_of_missing_sentinels_names_the_setting(free_port: int) -> None:
    async with store_on("redis://db", redis_sentinel=f"127.0.0.1:{free_port}") as store:
        with pytest.raises(
            StoreUnavailable, match=r"No master found.*; check WAYBILL_REDIS_SENTINEL and that the store is running"
        ):
            await store.check()


@pytest.mark.parametrize(("given", "message"), [("", "Authentication required"), (":guessed", "WRONGPASS|invalid")])
async def test_error_of_a_wrong_password_does_not_contain_it(
    given: str, message: str, own_valkey: Callable[..., EmbeddedValkey], free_port: int
) -> None:
    server = own_valkey("--port", str(free_port), "--bind", "127.0.0.1")
    with redis.Redis(unix_socket_path=server.url.removeprefix("unix://")) as client:
        client.execute_command("CONFIG", "SET", "requirepass", "secret-4711")  # pyright: ignore[reportUnknownMemberType] - redis-py types it with a hole
    async with store_on(f"redis://{given}{'@' if given else ''}127.0.0.1:{free_port}") as store:
        with pytest.raises(StoreUnavailable, match=message) as failed:
            await store.check()
    assert "WAYBILL_REDIS_URL" in str(failed.value)
    assert "guessed" not in str(failed.value)
