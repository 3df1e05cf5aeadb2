"""`waybill quarantine`: release after a fix, each delivery once, without private data in the output."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import pytest

from service.ingestion.reverification import reverify
from service.store import QuarantinedDelivery, Store
from tests.service.cli.conftest import Run, rows

Serve = Callable[..., Awaitable[str]]


async def wait_for_quarantined(store: Store, number: int) -> None:
    for _ in range(200):
        counts = [await store.quarantine.count(source) for source in await store.quarantine.sources()]
        if sum(deliveries for deliveries, _ in counts) >= number:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"fewer than {number} deliveries in quarantine")


async def send(run: Run, url: str, source: str, body: bytes, **secrets: str) -> str:
    return (await run("send", source, "--file", "-", "--url", url, stdin=body, **secrets)).stdout


def order(number: int, **more: str) -> bytes:
    data = {"id": str(number), **more}
    return msgspec.json.encode({"event_code": "customer.updated", "id": f"e{number}", "data": data})


async def test_deliveries_rejected_by_a_wrong_secret_are_released_after_the_fix(
    run: Run, serve: Serve, store: Store
) -> None:
    url = await serve(HMAC="a wrong secret")
    for number in range(3):
        assert (await send(run, url, "pack-orders", order(number))).startswith("401")
    assert (await send(run, url, "pack-orders", order(9), HMAC="an attacker's")).startswith("401")
    await wait_for_quarantined(store, 4)

    ids = {row["id"]: row for row in rows(await run("quarantine", "list", "-o", "json"))}
    diagnosed = [await run("quarantine", "diagnose", each, "-o", "json") for each in ids]
    assert sorted(result.exit_code for result in diagnosed) == [0, 0, 0, 1]
    matches = [match for result in diagnosed for match in rows(result)[0]["matches"]]
    assert "sources.pack-orders.verify.secrets[0]" in {match["secret"] for match in matches}
    assert any(match["verify"] == {"scheme": "hmac", "header": "X-Signature"} for match in matches)

    still = await run("quarantine", "reverify", "--all", "-o", "json", HMAC="a wrong secret")
    assert (still.exit_code, [row["result"] for row in rows(still)]) == (1, ["rejected"] * 4)
    fixed = await run("quarantine", "reverify", "--all", "-o", "json")
    assert sorted(row["result"] for row in rows(fixed)) == ["rejected"] + ["verified"] * 3
    assert (await store.sample()).pending == 0

    again = await serve()
    assert '"queued"' in await send(run, again, "pack-orders", order(0))  # redelivery by the sender
    released = await run("quarantine", "release", "--source", "pack-orders", "-o", "json")
    assert released.exit_code == 1
    statuses = [event["status"] for row in rows(released) for event in row.get("events", ())]
    assert sorted(statuses) == ["duplicate", "queued", "queued"]
    assert (await store.sample()).pending == 3
    left = rows(await run("quarantine", "list", "-o", "json"))
    assert [row["code"] for row in left] == ["not_verified"]
    deleted = await run("quarantine", "delete", left[0]["id"])
    assert deleted.stdout == "1 delivery deleted\n"
    assert "The quarantine is empty." in (await run("quarantine", "list")).output


async def test_deliveries_without_an_id_are_released_once(run: Run, serve: Serve, store: Store) -> None:
    url = await serve(TOKEN="wrong-by-mistake-1")
    body = b'{"action": "CUSTOMER_UPDATE", "customer": {"Uid": "7"}}'
    for _ in range(2):
        await send(run, url, "flow-till", body)
    await wait_for_quarantined(store, 2)
    kept = await store.quarantine.read("flow-till", await store.quarantine.ids("flow-till"))
    assert (await run("quarantine", "release", "--all")).exit_code == 0
    assert (await store.sample()).pending == 2
    await store.quarantine_deliveries(kept)  # like a crash before the deletion
    repeated = rows(await run("quarantine", "release", "--all", "-o", "json"))
    assert [row["events"][0]["status"] for row in repeated] == ["duplicate"] * 2
    assert (await store.sample()).pending == 2


async def test_a_path_token_and_an_old_timestamp_are_verified_as_of_the_arrival(
    run: Run, serve: Serve, store: Store
) -> None:
    url = await serve(TOKEN="wrong-by-mistake-1", WHSEC="whsec_" + "A" * 32)
    await send(run, url, "ofn-shop", b'{"event": "payment.completed", "id": "1", "data": {"order": {"number": "R1"}}}')
    await send(run, url, "erp-standard", b'{"type": "customer.updated", "data": {"id": "1"}}')
    await wait_for_quarantined(store, 2)
    for source in ("ofn-shop", "erp-standard"):
        [kept] = await store.quarantine.read(source, await store.quarantine.ids(source))
        later = {**kept.headers, "webhook-timestamp": kept.headers.get("webhook-timestamp", "")}
        assert later.keys() >= kept.headers.keys()
    assert (await run("quarantine", "release", "--all")).exit_code == 0
    assert (await store.sample()).pending == 2


async def test_output_contains_neither_credentials_nor_personal_data(run: Run, serve: Serve, store: Store) -> None:
    url = await serve(TOKEN="wrong-by-mistake-1")
    await send(run, url, "flow-till", order(1, name="Ada Lovelace", email="ada@example.com"))
    await send(run, url, "ofn-shop", b"no json of ada@example.com")
    await wait_for_quarantined(store, 2)
    listed = await run("quarantine", "list")
    assert listed.exit_code == 0
    shown = listed.stdout
    for row in rows(await run("quarantine", "list", "-o", "json")):
        assert row["id"] in shown
        one = await run("quarantine", "show", row["id"])
        assert one.exit_code == 0
        shown += one.stdout
    for hidden in ("Ada", "ada@", "a-token-that-is-long-enough", "Basic "):
        assert hidden not in shown
    assert "[redacted]" in shown
    assert "bytes, not JSON" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("reverify",), "Give IDS, --source, or --all."),
        (("release", "0" * 32), "Delivery 000"),
        (("show", "nobody"), "Delivery nobody is not in quarantine"),
        (("delete",), "Give IDS"),
    ],
)
async def test_a_missing_selection_and_an_unknown_id_are_usage_errors(
    arguments: Sequence[str], message: str, run: Run, valkey_url: str
) -> None:
    failed = await run("quarantine", *arguments, WAYBILL_REDIS_URL=valkey_url)
    assert failed.exit_code == 2
    assert message in failed.output


@pytest.mark.usefixtures("store")
async def test_an_empty_quarantine_is_reported(run: Run) -> None:
    for words in (("list",), ("reverify", "--all"), ("release", "--source", "pack-order")):
        done = await run("quarantine", *words)
        assert (done.exit_code, done.stdout, done.stderr) == (0, "", "The quarantine is empty.\n")


def test_a_delivery_of_a_removed_source_is_reported() -> None:
    gone = QuarantinedDelivery(1, "1", "gone", "not_verified", 401, 1.0, {}, b"{}", None, whole=True)
    assert reverify(gone, {}).code == "unknown_source"
