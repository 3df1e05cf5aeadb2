"""`waybill doctor`: every part is asked, what fails is named with what to do, and the exit code says so."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import redis

from service.cli.diagnostics import check_clock_skew
from service.dev.embedded_valkey import EmbeddedValkey
from service.sandbox.server import SandboxHandle, running_sandbox
from service.store import Store
from tests.service.cli.conftest import CONFIG, PUBLIC, Run, rows


@pytest.fixture
async def box(config_path: Path) -> AsyncIterator[SandboxHandle]:
    async with running_sandbox() as handle:
        await asyncio.to_thread(config_path.write_text, CONFIG.format(box=handle.url, public=PUBLIC))
        yield handle


def failures(found: list[dict[str, Any]]) -> dict[str, str]:
    return {row["part"]: row["detail"] for row in found if row["result"] == "failed"}


@pytest.mark.usefixtures("box")
async def test_all_is_well_where_all_is_configured_and_published(run: Run, store: Store) -> None:
    await store.rulebook.publish("v1", b"{}", "a", "", None)
    examined = await run("doctor", "--json")
    found = rows(examined)
    assert (examined.exit_code, failures(found)) == (0, {})
    parts = {row["part"] for row in found}
    assert parts >= {
        "settings",
        "configuration",
        *(f"platform {name}" for name in ("pack", "flow", "ofn", "engage", "erp")),
    }
    asked = {row["asked"] for row in found}
    assert asked >= {"customer 0, with its credentials", "version", "memory", "clock", "rulebook"}
    assert any(row["result"] == "warning" and "scheme: none" in row["detail"] for row in found)
    table = await run("doctor")
    assert table.exit_code == 0
    head, *lines = [line.split("\t") for line in table.stdout.splitlines()]
    assert (head, len(lines)) == (["part", "asked", "result", "detail"], len(found))
    assert [line[:3] for line in lines] == [[row["part"], row["asked"], row["result"]] for row in found]


@pytest.mark.usefixtures("box", "store")
async def test_a_source_that_is_only_polled_counts_as_one(run: Run, config_path: Path) -> None:
    config = await asyncio.to_thread(config_path.read_text)
    polled = "sources:\n  flow-poll: {platform: flow, poll: {every: 5m, record: customer}}"
    await asyncio.to_thread(config_path.write_text, config.replace("sources:", polled, 1))
    found = rows(await run("doctor", "--json"))
    told = [row["detail"] for row in found if row["part"] == "configuration" and row["result"] == "ok"]
    assert told == ["5 platforms, 10 sources"]


@pytest.mark.usefixtures("box", "store")
async def test_what_does_not_work_is_named_and_ends_with_code_1(run: Run) -> None:
    examined = await run("doctor", "--json", API="not the token")
    failed = failures(rows(examined))
    assert examined.exit_code == 1
    assert {part for part in failed if part.startswith("platform")} == {
        f"platform {name}" for name in ("pack", "flow", "ofn", "engage", "erp")
    }
    assert all("config_unauthorized" in failed[f"platform {name}"] for name in ("pack", "engage"))
    assert any("waybill rules apply" in detail for detail in failed.values())
    assert "not the token" not in examined.output


async def test_platforms_that_are_away_and_a_store_that_is_away_are_told(run: Run, tmp_path: Path) -> None:
    failed = failures(rows(await run("doctor", "--json", WAYBILL_REDIS_URL=f"unix://{tmp_path}/nobody.sock")))
    assert failed["platform pack"].startswith("connect")
    assert any(part.startswith("store") and "store_unavailable" in detail for part, detail in failed.items())


async def test_a_store_that_is_not_durable_is_told_with_what_to_do(
    run: Run, own_valkey: Callable[..., EmbeddedValkey]
) -> None:
    server = own_valkey("--appendfsync", "everysec")
    failed = failures(rows(await run("doctor", "--json", WAYBILL_REDIS_URL=server.url)))
    assert any("CONFIG SET appendfsync always" in detail for detail in failed.values())


@pytest.mark.parametrize(
    ("more", "part", "told"),
    [
        ({"WAYBILL_BODY_BYTES_MAX": "many"}, "settings", "WAYBILL_BODY_BYTES_MAX"),
        ({"WAYBILL_CONFIG": "/nowhere/waybill.yaml"}, "configuration", "/nowhere/waybill.yaml"),
        ({"HMAC": ""}, "configuration", "HMAC"),
        ({"WAYBILL_REDIS_URL": "http://localhost"}, "store", "WAYBILL_REDIS_URL"),
        ({"WAYBILL_SHARD_URLS": "unix:///a,unix:///b"}, "store", "WAYBILL_SHARD_URLS"),
    ],
)
async def test_a_mistake_in_what_is_configured_is_told_with_its_place(
    more: dict[str, str], part: str, told: str, run: Run
) -> None:
    examined = await run("doctor", "--json", **more)
    assert examined.exit_code == 1
    assert any(row["part"] == part and told in row["detail"] for row in rows(examined) if row["result"] == "failed")


@pytest.mark.parametrize(("theirs", "result"), [(100.5, "ok"), (98.5, "warning"), (105.5, "failed"), (94.5, "failed")])
def test_clocks_that_are_apart_are_told(theirs: float, result: str) -> None:
    assert check_clock_skew(theirs, 100.0).result == result


async def test_a_store_that_fills_up_is_told(run: Run, own_valkey: Callable[..., EmbeddedValkey]) -> None:
    server = own_valkey("--maxmemory", "20mb")
    with redis.Redis(unix_socket_path=server.url.removeprefix("unix://")) as client:
        for number in range(24):
            client.set(f"ballast {number}", bytes(500_000))
    found = rows(await run("doctor", "--json", WAYBILL_REDIS_URL=server.url))
    assert any(row["asked"] == "memory" and row["result"] == "warning" for row in found)


@pytest.mark.parametrize(("status", "result"), [(400, "ok"), (403, "failed"), (503, "failed")])
async def test_a_platform_that_dislikes_the_made_up_id_has_let_us_in(
    status: int, result: str, run: Run, box: SandboxHandle
) -> None:
    fault = {"match": "/pack_cloud/v1/organizations/org_1/customers", "times": 9, "status": status}
    async with aiohttp.ClientSession() as session, session.post(f"{box.url}/_sandbox/faults", json=fault) as response:
        assert response.status < 300, await response.text()
    found = rows(await run("doctor", "--json"))
    assert [row["result"] for row in found if row["part"] == "platform pack"] == [result]


async def test_a_password_in_the_stores_address_is_not_shown(run: Run) -> None:
    examined = await run("doctor", "--json", WAYBILL_REDIS_URL="redis://ops:hidden@127.0.0.1:9/0")
    assert "store 127.0.0.1:9/0" in examined.output
    assert "hidden" not in examined.output
