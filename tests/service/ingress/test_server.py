"""`waybill serve` as a process: start without a store, graceful shutdown, and configuration errors."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
import uvloop
from click.testing import CliRunner
from litestar import Litestar

from service.cli.main import waybill
from service.dev.embedded_valkey import EmbeddedValkey
from service.errors import ConfigError
from service.ingress.server import ACCEPTS_MAX, Listener
from service.listening_socket import bind
from service.settings import Settings
from tests.service.ingress.conftest import CONFIG, ENVIRON, Order, Start, encode, signed
from tests.waiting import until


async def test_serve_ingests_events_and_drains_on_sigterm(
    start: Start, valkey_url: str, client: aiohttp.ClientSession
) -> None:
    process = await start(redis_url=valkey_url, shutdown_timeout_seconds=5)
    started = await process.line("process.started")
    assert started["durability"] == "fsync"
    body = encode(Order("1"), 1_000)
    head = "".join(f"{name}: {value}\r\n" for name, value in signed(body).items())
    reader, writer = await asyncio.open_connection("127.0.0.1", started["port"])
    writer.write(f"POST /webhooks/erp-orders HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n{head}\r\n".encode())
    writer.write(body[:500])
    async with client.get(f"http://127.0.0.1:{started['admin_port']}/readyz") as response:
        assert response.status == 200
    process.process.terminate()
    await until(lambda: is_closed(started["port"]))
    writer.write(body[500:])
    assert (await reader.readline()).startswith(b"HTTP/1.1 202 ")
    writer.close()
    received = await process.line("delivery.received")
    assert received["delivery_status"] == "queued"
    assert (await process.line("process.stopped"))["reason"] == "SIGTERM"
    assert await process.process.wait() == 0


async def is_closed(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return True
    writer.close()
    return False


async def test_request_beyond_the_shutdown_timeout_is_answered_503(start: Start, valkey_url: str) -> None:
    process = await start(redis_url=valkey_url, shutdown_timeout_seconds=1)
    started = await process.line("process.started")
    reader, writer = await asyncio.open_connection("127.0.0.1", started["port"])
    writer.write(
        b"POST /webhooks/erp-orders HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n"
    )
    await asyncio.sleep(1)  # the request begins before the shutdown
    process.process.terminate()
    assert (await reader.readline()).startswith(b"HTTP/1.1 503 ")
    writer.close()
    assert await process.process.wait() == 0


async def test_serve_starts_without_a_store_and_recovers(
    start: Start, own_valkey: Callable[..., EmbeddedValkey], client: aiohttp.ClientSession
) -> None:
    server = own_valkey()
    server.kill()
    process = await start(redis_url=server.url)
    url = f"http://127.0.0.1:{(await process.line('process.started'))['port']}"
    async with client.get(f"{url}/readyz") as response:
        assert (response.status, (await response.json())["reason"]) == (503, "store_unavailable")
    own_valkey()
    await process.line("store.recovered")
    body = encode(Order("1"))
    async with client.post(f"{url}/webhooks/erp-orders", data=body, headers=signed(body)) as response:
        assert response.status == 202


async def test_store_that_is_not_durable_is_logged_and_not_used(
    start: Start, own_valkey: Callable[..., EmbeddedValkey], client: aiohttp.ClientSession
) -> None:
    server = own_valkey("--appendfsync", "everysec")
    process = await start(redis_url=server.url)
    url = f"http://127.0.0.1:{(await process.line('process.started'))['port']}"
    body = encode(Order("1"))
    async with client.post(f"{url}/webhooks/erp-orders", data=body, headers=signed(body)) as response:
        assert response.status == 503
    assert "appendfsync" in (await process.line("store.not_durable"))["reason"]


async def test_configuration_error_exits_with_code_2_and_one_line(start: Start) -> None:
    process = await start(config="/nowhere/waybill.yaml")
    failed = await process.line("process.failed")
    assert failed["error_kind"] == "config"
    _, message = await process.process.communicate()
    (line,) = message.decode().splitlines()
    assert "/nowhere/waybill.yaml" in line
    assert process.process.returncode == 2


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("WAYBILL_BODY_BYTES_MAX", "many", "WAYBILL_BODY_BYTES_MAX"),
        ("WAYBILL_REDIS_URL", "http://localhost", "WAYBILL_REDIS_URL"),
        ("WAYBILL_HOST", "192.0.2.1", "WAYBILL_PORT"),
    ],
)
def test_wrong_setting_is_a_configuration_error(variable: str, value: str, expected: str, tmp_path: Path) -> None:
    config = tmp_path / "waybill.yaml"
    config.write_text(CONFIG)
    environ = ENVIRON | {"WAYBILL_CONFIG": str(config), variable: value}
    error = CliRunner().invoke(waybill, ["serve"], env=environ).exception
    assert isinstance(error, ConfigError)
    assert expected in str(error)


def test_port_in_use_is_a_config_error_naming_the_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError) as caught:
        bind("127.0.0.1", taken.getsockname()[1], "WAYBILL_ADMIN_PORT")
    assert caught.value.path == "WAYBILL_ADMIN_PORT"


def test_bind_supports_ipv4_and_ipv6() -> None:
    for host in ("127.0.0.1", "::1"):
        with bind(host, 0, "WAYBILL_PORT") as listener:
            assert listener.getsockname()[1] > 0
            assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), "asyncio does not set it"


def test_several_new_connections_are_accepted_per_iteration_of_the_event_loop() -> None:
    # uvloop accepts one connection per socket and iteration: of many new ones, the last would wait for seconds.
    assert uvloop.run(_iterations_to_accept(Settings(), 64)) <= 64 / ACCEPTS_MAX + 8


async def _iterations_to_accept(settings: Settings, clients: int) -> int:
    """Return the iterations of the event loop until all clients, which connected before, are accepted."""
    with bind("127.0.0.1", 0, "WAYBILL_PORT") as port:
        listener = Listener(Litestar([]), port, settings)
        await listener.start()
        connected = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(clients)]
        iterations = 0
        for _ in range(2 * clients):
            if len(listener.server_state.connections) == clients:
                break
            iterations += 1
            await asyncio.sleep(0)
        for each in connected:
            each.close()
        await listener.stop()
    return iterations
