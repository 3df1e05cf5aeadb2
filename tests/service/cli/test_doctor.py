"""`waybill doctor`: checks of every part, with the fix for each failure and an exit code."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import redis

from service.cli.store_diagnostics import check_clock_skew
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
async def test_all_checks_pass_in_a_complete_installation(run: Run, store: Store) -> None:
    await store.rulebook.publish("v1", b"{}", "a", "", None)
    result = await run("doctor", "-o", "json")
    found = rows(result)
    assert (result.exit_code, failures(found)) == (0, {})
    parts = {row["part"] for row in found}
    assert parts >= {
        "settings",
        "configuration",
        *(f"platform {name}" for name in ("pack", "flow", "ofn", "engage", "erp")),
    }
    checks = {row["check"] for row in found}
    assert checks >= {"fetch customer 0 with credentials", "version", "memory", "clock", "rulebook"}
    platform, *fields = [row["detail"] for row in found if row["part"] == "platform pack"]
    assert re.fullmatch(r"reachable, credentials accepted \(200 in \d+ ms\)", platform)
    assert fields == [
        "pack does not list customer. To check a record: waybill doctor --record pack:customer:ID",
        "purchase_order 1: 18 fields checked, none missing",
    ]
    (operations,) = [row for row in found if row["check"] == "operations"]
    assert (operations["part"], operations["result"]) == ("platform erp", "skipped")
    assert operations["detail"].startswith("order.hold: not called, because they change data.")
    assert any(row["result"] == "warning" and "scheme: none" in row["detail"] for row in found)
    table = await run("doctor")
    assert table.exit_code == 0
    head, *lines = [line.split("\t") for line in table.stdout.splitlines()]
    assert (head, len(lines)) == (["part", "check", "result", "detail"], len(found))
    assert [line[:3] for line in lines] == [[row["part"], row["check"], row["result"]] for row in found]


@pytest.mark.usefixtures("box", "store")
async def test_a_source_without_webhooks_is_counted(run: Run, config_path: Path) -> None:
    config = await asyncio.to_thread(config_path.read_text)
    polled = "sources:\n  flow-poll: {platform: flow, poll: {every: 5m, record: customer}}"
    await asyncio.to_thread(config_path.write_text, config.replace("sources:", polled, 1))
    found = rows(await run("doctor", "-o", "json"))
    details = [row["detail"] for row in found if row["part"] == "configuration" and row["result"] == "ok"]
    assert details == ["5 platforms, 10 sources, 0 destinations"]


@pytest.mark.usefixtures("store")
async def test_destinations_are_reached_without_a_request_that_has_an_effect(
    run: Run, config_path: Path, box: SandboxHandle
) -> None:
    config = await asyncio.to_thread(config_path.read_text)
    there = f"{box.url}/_sandbox/slack/x"
    more = f"""
destinations:
  chat: {{kind: slack, url: "{there}", allow_private_host: true}}
  blocked: {{url: "{there}"}}
  mail: {{kind: email, host: 127.0.0.1, port: 1, from: a@example.com}}
"""
    await asyncio.to_thread(config_path.write_text, config + more)
    found = {row["part"]: row for row in rows(await run("doctor", "-o", "json")) if "destination " in row["part"]}
    chat = found["destination chat"]
    assert (chat["check"], chat["result"]) == (f"connect to {there}", "ok")
    assert re.fullmatch(r"reachable \(400 to HEAD without credentials, in \d+ ms\)", chat["detail"])
    assert found["destination blocked"]["detail"].startswith("address_blocked: 127.0.0.1 is not a public address")
    assert found["destination mail"]["detail"] == "connect: cannot connect to mail at smtp://127.0.0.1:1"
    assert {found[f"destination {name}"]["result"] for name in ("blocked", "mail")} == {"failed"}
    assert box.sandbox.sink.count == 0


@pytest.mark.usefixtures("box", "store")
async def test_failed_checks_are_listed_and_end_with_code_1(run: Run) -> None:
    result = await run("doctor", "-o", "json", API="not the token")
    failed = failures(rows(result))
    assert result.exit_code == 1
    assert {part for part in failed if part.startswith("platform")} == {
        f"platform {name}" for name in ("pack", "flow", "ofn", "engage", "erp")
    }
    assert all("config_unauthorized" in failed[f"platform {name}"] for name in ("pack", "engage"))
    assert any("waybill rules apply" in detail for detail in failed.values())
    assert "not the token" not in result.output


async def test_unreachable_platforms_and_an_unreachable_store_are_reported(run: Run, tmp_path: Path) -> None:
    failed = failures(rows(await run("doctor", "-o", "json", WAYBILL_REDIS_URL=f"unix://{tmp_path}/nobody.sock")))
    assert failed["platform pack"].startswith("connect")
    assert any(part.startswith("store") and "store_unavailable" in detail for part, detail in failed.items())


async def test_a_store_that_is_not_durable_is_reported_with_the_fix(
    run: Run, own_valkey: Callable[..., EmbeddedValkey]
) -> None:
    server = own_valkey("--appendfsync", "everysec")
    failed = failures(rows(await run("doctor", "-o", "json", WAYBILL_REDIS_URL=server.url)))
    assert any("CONFIG SET appendfsync always" in detail for detail in failed.values())


@pytest.mark.parametrize(
    ("variables", "part", "message"),
    [
        ({"WAYBILL_BODY_BYTES_MAX": "many"}, "settings", "WAYBILL_BODY_BYTES_MAX"),
        ({"WAYBILL_CONFIG": "/nowhere/waybill.yaml"}, "configuration", "/nowhere/waybill.yaml"),
        ({"HMAC": ""}, "configuration", "HMAC"),
        ({"WAYBILL_REDIS_URL": "http://localhost"}, "store", "WAYBILL_REDIS_URL"),
    ],
)
async def test_a_configuration_error_is_reported_with_its_path(
    variables: dict[str, str], part: str, message: str, run: Run
) -> None:
    result = await run("doctor", "-o", "json", **variables)
    assert result.exit_code == 1
    assert any(row["part"] == part and message in row["detail"] for row in rows(result) if row["result"] == "failed")


@pytest.mark.parametrize(
    ("store_seconds", "result"), [(100.5, "ok"), (98.5, "warning"), (105.5, "failed"), (94.5, "failed")]
)
def test_a_clock_difference_is_reported(store_seconds: float, result: str) -> None:
    assert check_clock_skew(store_seconds, 100.0).result == result


async def test_high_memory_usage_is_a_warning(run: Run, own_valkey: Callable[..., EmbeddedValkey]) -> None:
    server = own_valkey("--maxmemory", "20mb")
    with redis.Redis(unix_socket_path=server.url.removeprefix("unix://")) as client:
        for number in range(24):
            client.set(f"ballast {number}", bytes(500_000))
    found = rows(await run("doctor", "-o", "json", WAYBILL_REDIS_URL=server.url))
    assert any(row["check"] == "memory" and row["result"] == "warning" for row in found)


@pytest.mark.usefixtures("box", "store")
async def test_another_number_of_shards_is_reported(run: Run, store: Store) -> None:
    await store.installation.accept("shop")
    result = await run("doctor", "-o", "json", WAYBILL_SHARDS="16")
    (found,) = [row for row in rows(result) if row["check"] == "shards"]
    assert (found["result"], "set WAYBILL_SHARDS=1" in found["detail"]) == ("failed", True)


@pytest.mark.usefixtures("box")
async def test_account_of_which_no_record_was_ever_found_is_a_warning(run: Run, store: Store) -> None:
    await store.found_records.add("removed", found=False)
    await store.found_records.add("pack", found=True)
    assert await found_records(run) == ("ok", "records of every account that was asked were found")
    await store.found_records.add("erp", found=False)
    assert await found_records(run) == ("warning", "no record of erp was ever found")


async def found_records(run: Run, **variables: str) -> tuple[str, str]:
    """Return the result of the check of found records, and its detail without the fix."""
    found = rows(await run("doctor", "-o", "json", **variables))
    (row,) = [row for row in found if row["check"] == "records"]
    return row["result"], row["detail"].partition(".")[0]


@pytest.mark.parametrize(
    ("peer", "trusted", "result", "text"),
    [
        (None, "", "ok", "directly or through a trusted proxy"),
        ("10.1.2.3", "", "warning", "from 10.1.2.3, which WAYBILL_TRUSTED_PROXIES is not set and does not name"),
        ("10.1.2.3", "10.9.0.0/16", "warning", "from 10.1.2.3, which WAYBILL_TRUSTED_PROXIES does not name"),
        ("10.1.2.3", "all", "warning", "does not name"),
        ("::ffff:10.1.2.3", "10.0.0.0/8", "ok", "is now"),
    ],
)
async def test_an_untrusted_proxy_of_the_last_day_is_reported(
    *, peer: str | None, trusted: str, result: str, text: str, run: Run, store: Store
) -> None:
    if peer:
        await store.record_untrusted_proxy(peer)
    found = rows(await run("doctor", "-o", "json", WAYBILL_TRUSTED_PROXIES=trusted))
    (row,) = [row for row in found if row["check"] == "trusted proxies"]
    assert (row["result"], text in row["detail"]) == (result, True), row


@pytest.mark.usefixtures("store")
async def test_proxies_that_trust_everyone_or_are_invalid_are_reported(run: Run) -> None:
    for trusted, result, text in (
        ("10.0.0.0/8,0.0.0.0/0", "warning", "0.0.0.0/0 trusts everyone"),
        ("all", "failed", "'all' does not appear to be"),
    ):
        found = rows(await run("doctor", "-o", "json", WAYBILL_TRUSTED_PROXIES=trusted))
        (row,) = [row for row in found if row["check"] == "WAYBILL_TRUSTED_PROXIES"]
        assert (row["result"], text in row["detail"]) == (result, True), row
    checked = await run("check", WAYBILL_TRUSTED_PROXIES="::/0")
    assert "warning   WAYBILL_TRUSTED_PROXIES: ::/0 trusts everyone" in checked.stdout


async def test_a_key_that_another_program_damaged_is_reported_until_its_copy_is_deleted(run: Run, store: Store) -> None:
    wake = store.keys.named("wake")
    await store.client.command("SET", wake, "x")
    await store.check()
    (row,) = [row for row in rows(await run("doctor", "-o", "json")) if row["check"] == "keys"]
    assert row["result"] == "failed"
    assert f"{wake} was a string, not a list" in row["detail"]
    (damaged,) = await store.damaged_keys()
    assert f"redis-cli UNLINK {damaged.moved_to}" in row["detail"]
    await store.client.command("UNLINK", damaged.moved_to)
    (row,) = [row for row in rows(await run("doctor", "-o", "json")) if row["check"] == "keys"]
    assert row["result"] == "ok"


async def test_a_worker_whose_clock_differs_is_reported(run: Run, store: Store) -> None:
    for name, seconds, difference in (("w-1", 600, 0.2), ("w-2", 600, -7.5), ("w-dead", -600, 9.0)):
        await store.queue_stats.heartbeat(name, 0, time.time(), seconds, difference)
    (row,) = [row for row in rows(await run("doctor", "-o", "json")) if row["check"] == "clocks of workers"]
    assert row["result"] == "warning"
    assert "that of w-2 by 7.500 s. Fix: synchronize the clocks" in row["detail"]
    listed = {row["name"]: row["clock_difference_seconds"] for row in rows(await run("workers", "-o", "json"))}
    assert listed == {"w-1": 0.2, "w-2": -7.5, "w-dead": 9.0}


@pytest.mark.parametrize(("status", "result"), [(404, "ok"), (400, "ok"), (403, "failed"), (503, "failed")])
async def test_a_rejected_probe_id_shows_that_the_credentials_are_accepted(
    status: int, result: str, run: Run, box: SandboxHandle
) -> None:
    fault = {"match": "/pack_cloud/v1/organizations/org_1/customers", "times": 9, "status": status}
    async with aiohttp.ClientSession() as session, session.post(f"{box.url}/_sandbox/faults", json=fault) as response:
        assert response.status < 300, await response.text()
    found = rows(await run("doctor", "-o", "json"))
    platform = next(row for row in found if row["part"] == "platform pack")
    assert platform["result"] == result
    assert str(status) in platform["detail"]
    assert ("credentials accepted (404 for a probe id" in platform["detail"]) == (status == 404)


@pytest.mark.usefixtures("store")
async def test_documented_fields_that_a_record_does_not_contain_are_listed(
    run: Run, box: SandboxHandle, config_path: Path
) -> None:
    catalog = box.sandbox.catalog
    catalog.put("pack_cloud", "purchase_order", "po-9", {"status": "created", "purchase_order_lines": []})
    catalog.put("pack_cloud", "customer", "c-9", {"billing_address": None, "delivery_address": {}})
    found = rows(await run("doctor", "-o", "json", "--record", "pack:customer:c-9", "--record", "shop:customer:1"))
    details = {row["check"]: row for row in found if row["part"] == "platform pack"}
    assert details["fields of purchase_order"]["result"] == "warning"
    assert details["fields of purchase_order"]["detail"] == (
        "purchase_order po-9: not found: reference, created_at, updated_at, supplier, lines. "
        "If the platform has them under other names, add pointers to platforms.pack.map.purchase_order"
    )
    missing = "customer c-9: not found: reference, orders_count, shipping_address, vat_number."
    assert missing in details["fields of customer"]["detail"]
    assert failures(found)["configuration"] == "there is no platform shop"
    config = await asyncio.to_thread(config_path.read_text)
    mapped = "kind: pack_cloud, map: {customer: {shipping_address: /delivery_address}}"
    await asyncio.to_thread(config_path.write_text, config.replace("kind: pack_cloud", mapped))
    found = rows(await run("doctor", "-o", "json", "--record", "pack:customer:c-9"))
    (detail,) = [row["detail"] for row in found if row["check"] == "fields of customer" and "c-9" in row["detail"]]
    assert "shipping_address.street" in detail, "the object is found, its fields are not"
    assert "shipping_address," not in detail


@pytest.mark.usefixtures("store")
async def test_a_record_that_cannot_be_fetched_is_a_warning(run: Run, box: SandboxHandle) -> None:
    found = rows(await run("doctor", "-o", "json", "--record", "pack:customer:missing-1", "--record", "pack:invoice:1"))
    details = {row["check"]: (row["result"], row["detail"]) for row in found if row["part"] == "platform pack"}
    result, detail = details["fields of customer"]
    assert (result, detail.partition(" GET ")[0]) == ("warning", "customer missing-1 does not exist:")
    assert detail.endswith("/customers/missing-1 answered 404: Not found.")
    assert details["fields of invoice"] == ("warning", "unknown_kind: pack has no invoice to fetch")
    box.sandbox.catalog.put("pack_cloud", "purchase_order", "1", {})
    box.sandbox.catalog.delete("pack_cloud", "purchase_order", "1")
    found = rows(await run("doctor", "-o", "json"))
    (row,) = [row for row in found if row["part"] == "platform pack" and row["check"] == "fields of purchase_order"]
    assert (row["result"], row["detail"]) == ("skipped", "the first page of purchase_order is empty")
    assert "write ACCOUNT:KIND:ID" in str((await run("doctor", "--record", "pack")).exception)


async def test_the_password_of_the_store_is_not_shown(run: Run) -> None:
    result = await run("doctor", "-o", "json", WAYBILL_REDIS_URL="redis://ops:hidden@127.0.0.1:9/0")
    assert "store 127.0.0.1:9/0" in result.output
    assert "hidden" not in result.output
