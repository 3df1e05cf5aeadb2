"""`waybill quarantine`: after a mistake is mended what was kept becomes events, each once; nothing private is shown."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import pytest

from service.ingestion.reverification import reverify
from service.store import QuarantinedDelivery, Store
from tests.service.cli.conftest import Run, rows

Serve = Callable[..., Awaitable[str]]


async def waiting_in(store: Store, number: int) -> None:
    for _ in range(200):
        kept = [await store.quarantine.count(source) for source in await store.quarantine.sources()]
        if sum(deliveries for deliveries, _ in kept) >= number:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{number} were never kept")


async def send(run: Run, url: str, source: str, body: bytes, **secrets: str) -> str:
    return (await run("send", source, "--file", "-", "--url", url, stdin=body, **secrets)).stdout


def order(number: int, **more: str) -> bytes:
    subject = {"id": str(number), **more}
    return msgspec.json.encode({"event_code": "customer.updated", "id": f"e{number}", "data": subject})


async def test_what_a_wrong_secret_refused_is_taken_in_once_it_is_mended(run: Run, serve: Serve, store: Store) -> None:
    url = await serve(HMAC="wrong by mistake")
    for number in range(3):
        assert (await send(run, url, "pack-orders", order(number))).startswith("401")
    assert (await send(run, url, "pack-orders", order(9), HMAC="an attacker's")).startswith("401")
    await waiting_in(store, 4)

    still = await run("quarantine", "reverify", "--all", "--json", HMAC="wrong by mistake")
    assert (still.exit_code, [row["result"] for row in rows(still)]) == (1, ["rejected"] * 4)
    mended = await run("quarantine", "reverify", "--all", "--json")
    assert sorted(row["result"] for row in rows(mended)) == ["rejected"] + ["verified"] * 3
    assert (await store.sample()).pending == 0

    again = await serve()
    assert '"queued"' in await send(run, again, "pack-orders", order(0))  # the sender came again by itself
    accepted = await run("quarantine", "release", "--source", "pack-orders", "--json")
    assert accepted.exit_code == 1
    statuses = [event["status"] for row in rows(accepted) for event in row.get("events", ())]
    assert sorted(statuses) == ["duplicate", "queued", "queued"]
    assert (await store.sample()).pending == 3
    left = rows(await run("quarantine", "list", "--json"))
    assert [row["code"] for row in left] == ["not_verified"]
    forgotten = await run("quarantine", "delete", left[0]["id"])
    assert forgotten.stdout == "1 deleted\n"
    assert "nothing is in quarantine" in (await run("quarantine", "list")).output


async def test_deliveries_without_an_id_are_taken_in_once_each_and_never_twice(
    run: Run, serve: Serve, store: Store
) -> None:
    url = await serve(TOKEN="wrong-by-mistake-1")
    body = b'{"action": "CUSTOMER_UPDATE", "customer": {"Uid": "7"}}'
    for _ in range(2):
        await send(run, url, "flow-till", body)
    await waiting_in(store, 2)
    kept = await store.quarantine.read("flow-till", await store.quarantine.ids("flow-till"))
    assert (await run("quarantine", "release", "--all")).exit_code == 0
    assert (await store.sample()).pending == 2
    await store.quarantine_deliveries(kept)  # as if the process had died before it forgot them
    repeated = rows(await run("quarantine", "release", "--all", "--json"))
    assert [row["events"][0]["status"] for row in repeated] == ["duplicate"] * 2
    assert (await store.sample()).pending == 2


async def test_a_path_token_and_an_old_timestamp_are_judged_as_of_then(run: Run, serve: Serve, store: Store) -> None:
    url = await serve(TOKEN="wrong-by-mistake-1", WHSEC="whsec_" + "A" * 32)
    await send(run, url, "ofn-shop", b'{"event": "payment.completed", "id": "1", "data": {"order": {"number": "R1"}}}')
    await send(run, url, "erp-standard", b'{"type": "customer.updated", "data": {"id": "1"}}')
    await waiting_in(store, 2)
    for source in ("ofn-shop", "erp-standard"):
        [kept] = await store.quarantine.read(source, await store.quarantine.ids(source))
        later = {**kept.headers, "webhook-timestamp": kept.headers.get("webhook-timestamp", "")}
        assert later.keys() >= kept.headers.keys()
    assert (await run("quarantine", "release", "--all")).exit_code == 0
    assert (await store.sample()).pending == 2


async def test_what_is_shown_holds_neither_credentials_nor_personal_data(run: Run, serve: Serve, store: Store) -> None:
    url = await serve(TOKEN="wrong-by-mistake-1")
    await send(run, url, "flow-till", order(1, name="Ada Lovelace", email="ada@example.com"))
    await send(run, url, "ofn-shop", b"no json of ada@example.com")
    await waiting_in(store, 2)
    listed = await run("quarantine", "list")
    assert listed.exit_code == 0
    shown = listed.stdout
    for row in rows(await run("quarantine", "list", "--json")):
        assert row["id"] in shown
        one = await run("quarantine", "show", row["id"])
        assert one.exit_code == 0
        shown += one.stdout
    for hidden in ("Ada", "ada@", "a-token-that-is-long-enough", "Basic "):
        assert hidden not in shown
    assert "[redacted]" in shown
    assert "bytes, not JSON" in shown


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("reverify",), "name ids, or --source, or --all"),
        (("release", "0" * 32), "Delivery 000"),
        (("show", "nobody"), "Delivery nobody is not in quarantine"),
        (("delete",), "name ids"),
    ],
)
async def test_nothing_is_done_to_what_is_not_named_or_not_there(
    arguments: Sequence[str], told: str, run: Run, valkey_url: str
) -> None:
    failed = await run("quarantine", *arguments, WAYBILL_REDIS_URL=valkey_url)
    assert failed.exit_code == 2
    assert told in failed.output


@pytest.mark.usefixtures("store")
async def test_that_there_is_nothing_to_judge_is_said(run: Run) -> None:
    for words in (("list",), ("reverify", "--all"), ("release", "--source", "pack-order")):
        done = await run("quarantine", *words)
        assert (done.exit_code, done.stdout, done.stderr) == (0, "", "nothing is in quarantine\n")


def test_what_cannot_be_judged_any_more_says_why() -> None:
    gone = QuarantinedDelivery(1, "1", "gone", "not_verified", 401, 1.0, {}, b"{}", None, whole=True)
    assert reverify(gone, {}).code == "unknown_source"
