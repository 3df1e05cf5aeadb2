"""Memory of a service with the console, after every page was opened, compared with a service without it."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from service.settings import Settings
from service.store.shards import shard_settings
from tests.free_ports import find_free_ports
from tests.service.ingress.admin.conftest import TOKENS
from tests.waiting import PATIENCE_SECONDS, until

from .conftest import Browser
from .scenario import CONFIG, ENVIRON, Scenario, open_scenario

pytestmark = pytest.mark.slow

CONSOLE_BYTES_MAX = 15 * 1024 * 1024
ROUNDS = 5
PATHS = (
    "/", "/events", "/dead-letters", "/dead-letters/selection?source=shop", "/quarantine", "/rules", "/history",
    "/sources", "/audit", "/settings", "/editor", "/rules/short-receipt", "/events/search?q=po",
)  # fmt: skip


@pytest.fixture
async def scenario(make_settings: Callable[..., Settings], tmp_path: Path) -> AsyncIterator[Scenario]:
    settings = make_settings(backoff_base_seconds=0.02, lease_seconds=20, attempts_max=1)
    async with open_scenario(shard_settings(settings, 0), tmp_path) as opened:
        yield opened


@contextlib.asynccontextmanager
async def serve(scenario: Scenario, folder: Path, *, console: bool) -> AsyncGenerator[tuple[str, int]]:
    """Run `waybill serve` on the store of a scenario. Yield the URL of its admin port and its process id."""
    path = folder / "service.yaml"
    await asyncio.to_thread(path.write_text, CONFIG.replace("BASE", "https://pack.example.com"))
    port, admin_port = find_free_ports(2)
    environ = {
        **ENVIRON, "PATH": os.environ["PATH"], "WAYBILL_CONFIG": str(path), "WAYBILL_PORT": str(port),
        "WAYBILL_ADMIN_PORT": str(admin_port), "WAYBILL_REDIS_URL": scenario.worker.settings.redis_url,
        "WAYBILL_CONSOLE": str(console).lower(),
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service", "serve", env=environ, stdout=asyncio.subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{admin_port}"

    async def is_ready() -> bool:
        assert process.returncode is None
        with contextlib.suppress(aiohttp.ClientError):
            async with aiohttp.request("GET", f"{url}/readyz") as answer:
                return answer.status == 200
        return False

    try:
        await until(is_ready)
        yield url, process.pid
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), PATIENCE_SECONDS)


def memory_bytes(pid: int) -> int:
    resident_pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return resident_pages * os.sysconf("SC_PAGE_SIZE")


async def test_the_console_takes_less_than_15_mebibytes(filled: Scenario, tmp_path: Path) -> None:
    used: dict[bool, int] = {}
    tabs = [f"/events/{filled.dead}?tab={tab}" for tab in ("timeline", "delivery", "record", "rules", "effects", "log")]
    for console in (False, True):
        async with (
            serve(filled, tmp_path, console=console) as (url, pid),
            aiohttp.ClientSession(
                cookie_jar=aiohttp.CookieJar(unsafe=True), headers={"authorization": f"Bearer {TOKENS['operator']}"}
            ) as session,
        ):
            browser = Browser(url, session)
            if console:
                await browser.log_in("operator")
            for path in (*PATHS, *tabs) * ROUNDS if console else ("/api/v1/events", "/api/v1/overview") * ROUNDS:
                assert (await browser.get(path)).status in {200, 303}, path
            used[console] = memory_bytes(pid)
    added = used[True] - used[False]
    assert added < CONSOLE_BYTES_MAX, added
