"""Errors of a wrong store address: they name the setting and the problem."""

from collections.abc import Callable

import pytest
import redis

from service.dev.embedded_valkey import EmbeddedValkey
from service.errors import ConfigError, StoreUnavailable
from service.settings import Settings
from service.store.connection.address import urls_of
from tests.service.store.builders import run_on_server, store_on


@pytest.mark.parametrize(
    ("url", "settings", "message"),
    [
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


@pytest.mark.parametrize(
    "url",
    [
        "redis://:p4ss/Word@db:6379/0",
        "redis://:p4ss#Word@db:6379/0",
        "redis://:p4ss?Word@db:6379/0",
        "redis://:4711/p4ssWord@db:6379",
        "redis://:4711?p4ssWord@db:6379",
        "redis://user:4711#p4ssWord@db",
        "redis://[p4ssWord@db",
        "redis://:p4ss]Word@db",
        "redis://:secret@db:p4ssWord",
        "redis://:secret@db:6379/p4ssWord",
        "redis://:secret@db:6379/0?p4ssWord=1",
        "redis://:secret@db:99999999",
        "redis://:secret@",
        "p4ssWord@db:6379",
        "http://:p4ssWord@db",
        "redis://:p4ss@Word@host:6379",
        "redis://:secret@one:6379,:p4ssWord@two:6379",
        "redis://:secret@host:6379?db=p4ssWord",
        "unix:///run/valkey.sock?db=p4ssWord",
        "redis://:secret@one:6379,",
        "redis://:secret@one:6379,two:p4ssWord",
        "redis://:secret@one:6379,redis://:p4ssWord@two:6379",
        "unix://one,p4ssWord",
        "unix://p4ssWord",
        "unix:///run/valkey.sock?p4ssWord=1",
        "unix:///run/valkey.sock#p4ssWord",
        "",
    ],
)
async def test_error_of_a_malformed_url_contains_no_part_of_it(url: str) -> None:
    with pytest.raises(ConfigError, match="percent-encode") as failed:
        async with store_on(url):
            pass
    assert failed.value.path == "WAYBILL_REDIS_URL"
    for part in ("p4ss", "Word", "4711", "secret", "99999999", "db"):
        assert part not in str(failed.value)
    assert failed.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "settings", "message"),
    [
        ("redis://:x@db", {"redis_password": "y"}, "are set twice"),
        ("redis://x@db", {"redis_password": "y"}, "are set twice"),
        ("unix:///run/valkey.sock?password=x", {"redis_password": "y"}, "are set twice"),
        ("redis://db", {"redis_username": "ana"}, "set WAYBILL_REDIS_PASSWORD"),
    ],
)
async def test_contradictory_credentials_are_a_config_error(url: str, settings: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        async with store_on(url, **settings):
            pass


async def test_user_and_password_can_be_set_beside_the_url(
    own_valkey: Callable[..., EmbeddedValkey], free_port: int
) -> None:
    server = own_valkey("--port", str(free_port), "--bind", "127.0.0.1")
    run_on_server(server.url, "ACL", "SETUSER", "ana", "on", ">p/4#5?6@7", "~*", "&*", "+@all")
    run_on_server(server.url, "ACL", "SETUSER", "default", "resetpass", ">other")
    settings = {"redis_username": "ana", "redis_password": "p/4#5?6@7"}
    for url in (f"redis://127.0.0.1:{free_port}/0", server.url):
        async with store_on(url, **settings) as store:
            await store.check()
            assert await store.client.command("ACL", "WHOAMI") == b"ana"
    async with store_on(f"redis://ana:p%2F4%235%3F6%407@127.0.0.1:{free_port}") as store:
        await store.check()


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


async def test_several_servers_and_sentinels_are_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"WAYBILL_REDIS_URL: has several servers, .*unset WAYBILL_REDIS_SENTINEL"):
        async with store_on("redis://one,two", redis_sentinel="a:1"):
            pass


async def test_several_servers_that_are_no_cluster_are_a_config_error(
    own_valkey: Callable[..., EmbeddedValkey], free_port: int
) -> None:
    own_valkey("--port", str(free_port))
    async with store_on(f"redis://127.0.0.1:{free_port},127.0.0.1:{free_port}") as store:
        with pytest.raises(ConfigError, match=r"WAYBILL_REDIS_URL: has several servers.* not in cluster mode"):
            await store.check()


@pytest.mark.parametrize(
    ("url", "urls"),
    [
        ("redis://one", ["redis://one"]),
        ("unix:///run/valkey.sock", ["unix:///run/valkey.sock"]),
        ("rediss://u:p,w@one:1,[::1]:2/0", ["rediss://u:p,w@one:1/0", "rediss://u:p,w@[::1]:2/0"]),
    ],
)
def test_url_of_each_server_has_the_user_and_the_password(url: str, urls: list[str]) -> None:
    assert urls_of(Settings(redis_url=url)) == urls
