"""`waybill serve` with a standard output that nobody reads: it receives deliveries and stops on SIGTERM."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.service.ingress.conftest import CONFIG, ENVIRON, Order, encode, signed
from tests.unread_stdout import UnreadProcess, run_unread

pytestmark = pytest.mark.slow

DELIVERIES = 500
"""About 190 KiB of lines, which is three times the size of a pipe."""

RESPONSE_TIMEOUT = aiohttp.ClientTimeout(20)


async def deliver_until_blocked(process: UnreadProcess, client: aiohttp.ClientSession) -> str:
    """Send deliveries until the pipe is full. Return the URL of the admin port."""
    started = await process.wait_for_started()
    url, admin_url = (f"http://127.0.0.1:{started[port]}" for port in ("port", "admin_port"))
    for number in range(DELIVERIES):
        body = encode(Order(str(number)))
        sending = client.post(f"{url}/webhooks/erp-orders", data=body, headers=signed(body), timeout=RESPONSE_TIMEOUT)
        async with sending as response:
            assert response.status == 202
    await process.wait_until_blocked()
    return admin_url


@pytest.fixture
def process(tmp_path: Path, valkey_url: str) -> Iterator[UnreadProcess]:
    config = tmp_path / "waybill.yaml"
    config.write_text(CONFIG)
    settings = ENVIRON | {"WAYBILL_CONFIG": str(config), "WAYBILL_REDIS_URL": valkey_url}
    with run_unread("serve", tmp_path, settings) as started:
        yield started


async def test_service_with_blocked_stdout_works_and_stops(
    process: UnreadProcess, client: aiohttp.ClientSession
) -> None:
    admin_url = await deliver_until_blocked(process, client)
    async with client.get(f"{admin_url}/healthz") as response:
        assert response.status == 200
    async with client.get(f"{admin_url}/metrics") as response:
        assert "waybill_log_lines_dropped_total 0.0" in await response.text()
    process.process.terminate()
    assert await process.wait() == 0


async def test_buffered_lines_are_written_when_stdout_is_read_again(
    process: UnreadProcess, client: aiohttp.ClientSession
) -> None:
    await deliver_until_blocked(process, client)
    rest = asyncio.create_task(process.read_rest())
    process.process.terminate()
    lines = await rest
    assert await process.wait() == 0
    assert sum(line["message"] == "delivery.received" for line in lines) == DELIVERIES
    assert (lines[-1]["message"], lines[-1]["reason"]) == ("process.stopped", "SIGTERM")
    timestamps = [line["timestamp"] for line in lines]
    assert timestamps == sorted(timestamps)
