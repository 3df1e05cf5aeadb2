"""Resolver of host names: a lookup that hangs delays no other name."""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from service.errors import TransientError
from service.http_client import HttpClient
from service.name_resolver import LOOKUPS_MAX, NameResolver
from service.settings import Settings
from tests.service.http_responses import head, server_of
from tests.waiting import until


class SlowLookup:
    """Lookup that hangs for names that begin with `hang` until `release` is set, and counts the lookups."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.started: Counter[str] = Counter()

    def __call__(self, host: str, port: int, **options: Any) -> Sequence[Any]:
        self.started[host] += 1
        if host.startswith("hang"):
            self.release.wait()
        return socket.getaddrinfo("127.0.0.1" if host.endswith(".test") else host, port, **options)


@pytest.fixture
def lookup() -> Iterator[SlowLookup]:
    made = SlowLookup()
    yield made
    made.release.set()


async def test_lookups_that_hang_do_not_delay_other_names(lookup: SlowLookup) -> None:
    resolver = NameResolver(lookup)
    hanging = [asyncio.create_task(resolver.resolve(f"hang{n}.test", 80)) for n in range(LOOKUPS_MAX - 1)]
    await until(lambda: len(lookup.started) == LOOKUPS_MAX - 1)
    (found,) = await resolver.resolve("healthy.test", 443)
    assert (found["hostname"], found["host"], found["port"]) == ("healthy.test", "127.0.0.1", 443)
    assert not any(task.done() for task in hanging)
    lookup.release.set()
    assert [(await task)[0]["host"] for task in hanging] == ["127.0.0.1"] * (LOOKUPS_MAX - 1)
    await resolver.close()


async def test_calls_for_one_name_share_one_lookup_even_if_the_first_is_cancelled(lookup: SlowLookup) -> None:
    resolver = NameResolver(lookup)
    calls = [asyncio.create_task(resolver.resolve("hang.test", 80)) for _ in range(2 * LOOKUPS_MAX)]
    await until(lambda: bool(lookup.started))
    calls[0].cancel()
    (found,) = await resolver.resolve("healthy.test", 80)
    assert found["host"] == "127.0.0.1"
    lookup.release.set()
    await asyncio.gather(*calls[1:])
    assert lookup.started == {"hang.test": 1, "healthy.test": 1}


async def test_number_of_lookups_is_limited(lookup: SlowLookup) -> None:
    resolver = NameResolver(lookup)
    calls = [asyncio.create_task(resolver.resolve(f"hang{n}.test", 80)) for n in range(LOOKUPS_MAX + 5)]
    await until(lambda: len(lookup.started) == LOOKUPS_MAX)
    assert threading.active_count() <= LOOKUPS_MAX + 20
    lookup.release.set()
    await asyncio.gather(*calls)
    assert len(lookup.started) == LOOKUPS_MAX + 5


@pytest.mark.parametrize("host", ["no-such-name.invalid", "a" * 64 + ".test.example"])
async def test_failed_lookup_is_an_os_error(host: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - the text is that of the operating system
        await NameResolver().resolve(host, 80)


async def test_close_abandons_lookups(lookup: SlowLookup) -> None:
    resolver = NameResolver(lookup)
    call = asyncio.create_task(resolver.resolve("hang.test", 80))
    await until(lambda: bool(lookup.started))
    await resolver.close()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_client_reaches_a_host_while_other_names_hang(
    lookup: SlowLookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.name_resolver.NameResolver.__init__.__defaults__", (lookup,))
    response = head("200 OK", "Content-Length: 2") + b"{}"
    async with server_of(response) as (url, _), HttpClient(Settings(), {"healthy.test", "hang.test"}) as client:
        port = url.rpartition(":")[2]

        def call(host: str, seconds_max: float) -> Any:
            return client.request(
                "GET",
                f"http://{host}:{port}/",
                headers={},
                body=None,
                seconds_max=seconds_max,
                bytes_max=10,
                guarded=True,
            )

        hanging = [asyncio.create_task(call("hang.test", 60)) for _ in range(20)]
        await until(lambda: bool(lookup.started["hang.test"]))
        assert (await call("healthy.test", 60)).status == 200
        with pytest.raises(TransientError):
            await call("hang.test", 0.05)
        assert not any(task.done() for task in hanging)
        for task in hanging:
            task.cancel()
