"""`waybill serve` as a process: it starts without a store, says its ports, drains on SIGTERM, and refuses mistakes."""

import asyncio
import socket
from collections.abc import Callable

import aiohttp
import pytest

from service.dev.embedded_valkey import EmbeddedValkey
from service.errors import ConfigError
from service.ingress.server import bind
from tests.service.ingress.conftest import Order, Start, encode, signed


async def test_a_process_takes_events_in_and_drains_on_sigterm(
    start: Start, valkey_url: str, client: aiohttp.ClientSession
) -> None:
    serving = await start(redis_url=valkey_url, shutdown_timeout_seconds=5)
    started = await serving.line("process.started")
    assert started["durability"] == "fsync"
    body = encode(Order("1"), 1_000)
    head = "".join(f"{name}: {value}\r\n" for name, value in signed(body).items())
    reader, writer = await asyncio.open_connection("127.0.0.1", started["port"])
    writer.write(f"POST /webhooks/erp-orders HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n{head}\r\n".encode())
    writer.write(body[:500])
    async with client.get(f"http://127.0.0.1:{started['admin_port']}/readyz") as response:
        assert response.status == 200
    serving.process.terminate()
    await asyncio.sleep(0.5)
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection("127.0.0.1", started["port"])
    writer.write(body[500:])
    assert (await reader.readline()).startswith(b"HTTP/1.1 202 ")
    writer.close()
    received = await serving.line("delivery.received")
    assert received["delivery_status"] == "queued"
    assert (await serving.line("process.stopped"))["reason"] == "SIGTERM"
    assert await serving.process.wait() == 0


async def test_a_request_that_outlasts_the_shutdown_is_a_503_and_not_cut_off(start: Start, valkey_url: str) -> None:
    serving = await start(redis_url=valkey_url, shutdown_timeout_seconds=1)
    started = await serving.line("process.started")
    reader, writer = await asyncio.open_connection("127.0.0.1", started["port"])
    writer.write(
        b"POST /webhooks/erp-orders HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n"
    )
    await asyncio.sleep(0.2)
    serving.process.terminate()
    assert (await reader.readline()).startswith(b"HTTP/1.1 503 ")
    writer.close()
    assert await serving.process.wait() == 0


async def test_a_process_starts_without_its_store_and_takes_up_work_when_it_comes(
    start: Start, own_valkey: Callable[..., EmbeddedValkey], client: aiohttp.ClientSession
) -> None:
    server = own_valkey()
    server.kill()
    serving = await start(redis_url=server.url)
    url = f"http://127.0.0.1:{(await serving.line('process.started'))['port']}"
    async with client.get(f"{url}/readyz") as response:
        assert (response.status, (await response.json())["reason"]) == (503, "store_unavailable")
    own_valkey()
    await serving.line("store.recovered")
    body = encode(Order("1"))
    async with client.post(f"{url}/webhooks/erp-orders", data=body, headers=signed(body)) as response:
        assert response.status == 202


async def test_an_unsafe_store_is_told_again_and_again_and_never_acknowledged_on(
    start: Start, own_valkey: Callable[..., EmbeddedValkey], client: aiohttp.ClientSession
) -> None:
    server = own_valkey("--appendfsync", "everysec")
    serving = await start(redis_url=server.url)
    url = f"http://127.0.0.1:{(await serving.line('process.started'))['port']}"
    body = encode(Order("1"))
    async with client.post(f"{url}/webhooks/erp-orders", data=body, headers=signed(body)) as response:
        assert response.status == 503
    assert "appendfsync" in (await serving.line("store.not_durable"))["reason"]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"body_bytes_max": "many"}, "WAYBILL_BODY_BYTES_MAX"),
        ({"config": "/nowhere/waybill.yaml"}, "/nowhere/waybill.yaml"),
        ({"redis_url": "http://localhost"}, "WAYBILL_REDIS_URL"),
        ({"host": "192.0.2.1"}, "WAYBILL_PORT"),
    ],
)
async def test_a_mistake_ends_the_process_with_code_2_and_one_line(
    settings: dict[str, str], told: str, start: Start
) -> None:
    serving = await start(**settings)
    failed = await serving.line("process.failed")
    assert failed["error_kind"] == "config"
    _, complaint = await serving.process.communicate()
    assert told in complaint.decode()
    assert serving.process.returncode == 2


def test_a_port_that_is_taken_is_a_mistake_with_its_settings_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError) as refused:
        bind("127.0.0.1", taken.getsockname()[1], "WAYBILL_ADMIN_PORT")
    assert refused.value.path == "WAYBILL_ADMIN_PORT"


def test_both_families_of_addresses_can_be_bound() -> None:
    for host in ("127.0.0.1", "::1"):
        with bind(host, 0, "WAYBILL_PORT") as listener:
            assert listener.getsockname()[1] > 0
