"""Every outcome of an event, on a real store with a real HTTP platform and sink."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import capture_logs

from service.errors import StoreUnavailable
from service.metrics.families import RECORDS_EXPECTED
from service.sandbox.faults import Fault
from service.settings import Settings
from service.store import NextEvent, SettlementWrite
from service.store.platforms.found_records import FoundRecords
from tests.workers.harness import SINK_RULE, WorkerHarness, open_harness, sent_key

pytestmark = pytest.mark.store


@pytest.fixture
async def harness(make_settings: Callable[..., Settings]) -> AsyncIterator[WorkerHarness]:
    settings = make_settings(backoff_base_seconds=0.02, attempts_max=3, lease_seconds=20, stale_read_wait_seconds=0.5)
    async with open_harness(settings) as opened:
        yield opened


def count_expected() -> Counter[str]:
    counted = RECORDS_EXPECTED.values.items()  # of all tests of this process, also about other kinds
    return Counter({str(key[2]): int(count) for key, count in counted if key[:2] == ("pack", "purchase_order")})


async def test_matching_order_runs_its_action_once(harness: WorkerHarness) -> None:
    await harness.publish(SINK_RULE)
    event_id = await harness.send()
    await harness.run_worker()
    assert harness.sink_bodies() == [{"order": "po-1"}]
    assert harness.idempotency_keys() == [sent_key(f"{event_id}:short-receipt:claim:0")]
    stored = await harness.stored_event(event_id)
    assert (stored["state"], stored["outcome"], stored["ledger"]) == ("ended", "matched", "d")
    assert [line["entry"] for line in stored["history"]] == ["received", "decided", "effect", "attempt"]
    (finished,) = harness.log_lines("attempt.finished")
    assert (finished["outcome"], finished["attempt"], finished["actions_run"]) == ("matched", 1, 1)


async def test_order_that_does_not_match_runs_no_action(harness: WorkerHarness) -> None:
    await harness.publish(SINK_RULE)
    event_id = await harness.send("complete-1")
    await harness.run_worker()
    assert harness.sink_bodies() == []
    assert (await harness.stored_event(event_id))["outcome"] == "unmatched"


async def test_failed_fetch_is_retried(harness: WorkerHarness) -> None:
    await harness.publish(SINK_RULE)
    harness.sandbox.sandbox.faults.add(Fault(match="/pack_cloud", status=500))
    event_id = await harness.send()
    await harness.run_worker()
    assert [line["outcome"] for line in harness.log_lines("attempt.finished")] == ["retried", "matched"]
    assert [line["http_status"] for line in harness.log_lines("record.fetched")] == [500, 200]
    assert (await harness.stored_event(event_id))["attempts"] == "2"


async def test_event_becomes_a_dead_letter_with_its_last_error_after_the_last_failed_fetch(
    harness: WorkerHarness,
) -> None:
    await harness.publish(SINK_RULE)
    harness.sandbox.sandbox.faults.add(Fault(match="/pack_cloud", status=500, times=9))
    event_id = await harness.send()
    await harness.run_worker()
    stored = await harness.stored_event(event_id)
    assert (stored["state"], stored["attempts"]) == ("dead", "3")
    assert stored["history"][-1]["outcome"] == "dead_lettered"
    assert stored["event"] is not None
    assert [summary.id for summary in await harness.store.events.page("dead", 10)] == [event_id]
    assert (await harness.store.sample()).dead_letters == 1


async def test_rejected_token_makes_a_dead_letter_without_retry(harness: WorkerHarness) -> None:
    await harness.publish(SINK_RULE)
    harness.sandbox.sandbox.faults.add(Fault(match="/pack_cloud", status=401))
    event_id = await harness.send()
    await harness.run_worker()
    stored = await harness.stored_event(event_id)
    assert (stored["state"], stored["attempts"]) == ("dead", "1")


@pytest.mark.slow
async def test_update_of_a_deleted_record_is_decided_on_the_last_known_state(harness: WorkerHarness) -> None:
    await harness.publish(SINK_RULE)
    event_id = await harness.send("missing-1")
    await harness.run_worker()
    stored = await harness.stored_event(event_id)
    assert stored["outcome"] == "record_missing"
    assert next(line for line in stored["history"] if line["entry"] == "decided")["gone"] is True
    attempt = next(line for line in stored["history"] if line["entry"] == "attempt")
    url = f"{harness.sandbox.base_url('pack_cloud')}/organizations/org_1/purchase-orders/missing-1"
    assert (attempt["error_kind"], attempt["error"]) == ("record_missing", f"GET {url} answered 404: Not found.")
    (line,) = [line for line in harness.log_lines("attempt.finished") if line["outcome"] == "record_missing"]
    assert (line["log_level"], line["error_kind"]) == ("warning", "record_missing")


@pytest.mark.slow
async def test_missing_records_of_created_and_updated_events_are_counted(harness: WorkerHarness) -> None:
    await harness.publish(SINK_RULE)
    before = count_expected()
    await harness.send("missing-1", "created")
    await harness.send("missing-2", "deleted")
    await harness.send("missing-3", "changed")
    await harness.send("po-1", "updated")
    await harness.run_worker()
    assert count_expected() - before == Counter(missing=1, found=1)


async def test_full_store_does_not_prevent_a_decision(harness: WorkerHarness) -> None:
    await harness.publish(SINK_RULE)
    event_id = await harness.send()
    command = harness.store.client.command
    before = (await command("CONFIG", "GET", "maxmemory"))[1]
    await command("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(StoreUnavailable):
            await command("SET", "x", "y")
        await harness.run_worker()
    finally:
        await command("CONFIG", "SET", "maxmemory", before)
    assert (await harness.stored_event(event_id))["outcome"] == "matched"
    assert harness.sink_bodies() == [{"order": "po-1"}]


@pytest.mark.slow
async def test_account_without_any_record_is_known_until_one_is_found(harness: WorkerHarness) -> None:
    await harness.publish(SINK_RULE)
    await harness.send("missing-1", "deleted")
    await harness.run_worker()
    assert await harness.store.found_records.accounts() == {}  # a deleted record is missing as expected
    await harness.send("missing-2", "updated")
    await harness.run_worker()
    assert await harness.store.found_records.accounts() == {"pack": False}
    await harness.send("po-1", "deleted")
    await harness.run_worker()
    assert await harness.store.found_records.accounts() == {"pack": True}
    await FoundRecords(harness.store.client, harness.store.keys).add("pack", found=False)  # another worker
    assert await harness.store.found_records.accounts() == {"pack": True}


@pytest.mark.slow
async def test_created_record_that_answers_404_is_deferred_without_counting_an_attempt(
    harness: WorkerHarness,
) -> None:
    await harness.publish(SINK_RULE)
    event_id = await harness.send("missing-1", "created")
    await harness.run_worker()
    assert {line["outcome"] for line in harness.log_lines("attempt.finished")} == {"deferred", "record_missing"}
    assert (await harness.stored_event(event_id))["attempts"] == "1"


async def test_burst_on_one_record_needs_one_fetch_and_keeps_the_order(harness: WorkerHarness) -> None:
    await harness.publish(SINK_RULE)
    ids = [await harness.send() for _ in range(5)]
    await harness.run_worker()
    assert len(harness.log_lines("record.fetched")) == 1
    assert [line["event_id"] for line in harness.log_lines("attempt.finished")] == ids
    assert harness.idempotency_keys() == [sent_key(f"{event_id}:short-receipt:claim:0") for event_id in ids]


async def test_failed_effect_leaves_its_lane_and_its_event_is_not_decided_again(harness: WorkerHarness) -> None:
    await harness.publish(SINK_RULE)
    # The retry becomes due below: while it is due, another job could run it before the attempt on `second`.
    harness.sandbox.sandbox.faults.add(Fault(match="/_sandbox/sink", status=500, retry_after=3600))
    first, second = await harness.send(), await harness.send()
    with capture_logs() as lines:
        await harness.run_until_idle(harness.worker())
    harness.lines += lines  # type: ignore[arg-type]
    await harness.store.client.command("ZADD", harness.settings.queue, "XX", 0, harness.store.keys.effects(first))
    await harness.run_worker()
    assert len(harness.log_lines("record.fetched")) == 1
    outcomes = [(line["event_id"], line["outcome"]) for line in harness.log_lines("attempt.finished")]
    assert outcomes == [
        (first, "retried"),
        (second, "deferred"),
        (first, "matched"),
        (second, "matched"),
    ]  # `second` waits behind `first`
    assert sorted(harness.idempotency_keys()) == sorted(
        sent_key(f"{event_id}:short-receipt:claim:0") for event_id in (first, second)
    )
    stored = await harness.stored_event(first)
    assert [line["entry"] for line in stored["history"]].count("decided") == 1


async def test_rejected_effect_makes_a_dead_letter_and_other_rules_still_run(
    harness: WorkerHarness,
) -> None:
    other = SINK_RULE.replace("short-receipt", "other").replace("claims", "other")
    await harness.publish(SINK_RULE + other)
    harness.sandbox.sandbox.faults.add(Fault(match="/_sandbox/sink/claims", status=400))
    event_id = await harness.send()
    await harness.run_worker()
    stored = await harness.stored_event(event_id)
    assert (stored["state"], sorted(stored["ledger"])) == ("dead", ["d", "f"])
    assert harness.idempotency_keys() == [sent_key(f"{event_id}:other:claim:0")]


async def test_effects_after_a_failed_effect_of_the_same_rule_do_not_run(harness: WorkerHarness) -> None:
    second = """    - {id: after, do: http, url: "SINK/after", body: {}}\n"""
    await harness.publish(SINK_RULE + second)
    harness.sandbox.sandbox.faults.add(Fault(match="/_sandbox/sink/claims", status=400))
    event_id = await harness.send()
    await harness.run_worker()
    assert (await harness.stored_event(event_id))["ledger"] == "fp"
    assert harness.idempotency_keys() == []


async def test_same_change_on_the_same_state_is_unchanged_without_event_ids(harness: WorkerHarness) -> None:
    await harness.publish(SINK_RULE)
    first = await harness.send(identified=False)
    await harness.run_worker()
    second = await harness.send(identified=False)
    third = await harness.send(change="created", identified=False)
    await harness.run_worker()
    ends = [(await harness.stored_event(event_id))["outcome"] for event_id in (first, second, third)]
    assert ends == ["matched", "unchanged", "matched"]
    assert len(harness.idempotency_keys()) == 2


async def test_order_of_members_makes_no_other_state_without_event_ids(harness: WorkerHarness) -> None:
    await harness.publish(SINK_RULE)
    bodies = ['{"id": "po-1", "status": "received"}', '{"status": "received", "id": "po-1"}']
    outcomes: list[str] = []
    # The third event has an id, so that the digest of the bytes is stored.
    for body, identified in [(bodies[0], False), (bodies[1], False), (bodies[0], True), (bodies[0], False)]:
        harness.sandbox.sandbox.faults.add(Fault(match="/pack_cloud", status=200, body=body))
        event_id = await harness.send(identified=identified)
        await harness.run_worker()
        outcomes.append((await harness.stored_event(event_id))["outcome"])
    assert outcomes == ["unmatched", "unchanged", "unmatched", "unchanged"]


async def test_previous_is_the_state_of_the_last_decision(harness: WorkerHarness) -> None:
    await harness.publish("""
- id: changed
  type: purchase_order
  when: {field: status, op: changed}
  actions: [{id: tell, do: http, url: "SINK/turned", body: {was: "{previous.status}", is: "{status}"}}]
""")
    order: dict[str, object] = {"id": "po-1", "status": "ordered", "updated_at": "2026-01-01T00:00:00Z"}
    harness.sandbox.sandbox.catalog.put("pack_cloud", "purchase_order", "po-1", order)
    await harness.send()
    await harness.run_worker()
    assert harness.sink_bodies() == []
    harness.sandbox.sandbox.catalog.put(
        "pack_cloud", "purchase_order", "po-1", order | {"status": "received", "updated_at": "2026-01-02T00:00:00Z"}
    )
    await harness.send()
    await harness.run_worker()
    assert harness.sink_bodies() == [{"was": "ordered", "is": "received"}]


async def test_hint_becomes_one_event_of_its_customer(harness: WorkerHarness) -> None:
    await harness.publish("""
- id: greet
  type: customer
  when: {field: id, op: exists}
  actions: [{id: hello, do: http, url: "SINK/customers", body: {}}]
""")
    event_id = await harness.send("order-1", kind="order")
    await harness.run_worker()
    assert (await harness.stored_event(event_id))["outcome"] == "resolved"
    assert len(harness.sink_bodies()) == 1


async def test_event_with_missing_or_damaged_bytes_becomes_a_dead_letter_and_its_lane_continues(
    harness: WorkerHarness,
) -> None:
    await harness.publish(SINK_RULE)
    missing, damaged, valid = [await harness.send() for _ in range(3)]
    await harness.store.client.command("DEL", f"wb:delivery:{missing}")
    await harness.store.client.command("SET", f"wb:delivery:{damaged}", b"\xff\x00")
    await harness.run_worker()
    shown = [await harness.stored_event(event_id) for event_id in (missing, damaged, valid)]
    ends = [each["error_kind"] or each["outcome"] for each in shown]
    assert ends == ["payload_missing", "undecodable", "matched"]


async def test_damaged_job_payload_does_not_block_the_event(harness: WorkerHarness) -> None:
    await harness.publish(SINK_RULE)
    event_id = await harness.send()
    await harness.store.client.command("SET", "arq:job:wb:lane:pack:purchase_order:po-1", b"\x80garbage")
    await harness.run_worker()
    assert (await harness.stored_event(event_id))["outcome"] == "matched"


@pytest.mark.slow
async def test_run_that_ends_during_a_lease_renewal_loses_no_lease(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_harness(make_settings(lease_seconds=3)) as harness:
        lanes = harness.store.lanes
        settle = lanes.settle

        async def slow_settle(write: SettlementWrite) -> NextEvent:
            next_event = await settle(write)
            await asyncio.sleep(1.2)  # longer than a third of the lease, so that the lease is renewed meanwhile
            return next_event

        monkeypatch.setattr(lanes, "settle", slow_settle)
        await harness.publish(SINK_RULE)
        await harness.send()
        await harness.run_worker()
        assert harness.log_lines("lease.lost") == []
        assert [line["outcome"] for line in harness.log_lines("attempt.finished")] == ["matched"]


async def test_store_has_no_lanes_and_jobs_after_all_events_ended(harness: WorkerHarness) -> None:
    await harness.publish(SINK_RULE)
    for number in range(10):
        await harness.send(f"po-{number % 3}")
    await harness.run_worker()
    keys = [key.decode() for key in await harness.store.client.command("KEYS", "*")]
    lanes_and_jobs = [key for key in keys if key.startswith(("arq:", "wb:lane:", "wb:open", "wb:effects:"))]
    assert lanes_and_jobs == []
    sample = await harness.store.sample()
    assert (sample.due, sample.pending, sample.running) == (0, 0, 0)


EMIT_RULE = """
- id: again
  type: purchase_order
  actions:
    - {id: more, do: emit, type: order.recheck, change: changed, record: "RECORD"}
    - {id: tell, do: publish, stream: seen, length_max: 3, message: {order: "{id}", depth: "{event.depth}"}}
"""


async def test_outputs_of_emit_and_publish_are_written_with_the_ledger(
    harness: WorkerHarness,
) -> None:
    await harness.publish(EMIT_RULE.replace("RECORD", "complete-1"))
    event_id = await harness.send()
    await harness.run_worker()
    emitted = (await harness.stored_event(event_id))["history"][2]["answer"]["emitted"]
    stored = await harness.stored_event(emitted)
    assert stored["event"]["record"].id == "complete-1"
    assert stored["event"]["depth"] == 1
    # The derived event matches, too, and would emit an event of its own record: a loop.
    assert (stored["state"], stored["error_kind"], stored["ledger"]) == ("dead", "emit_loop", "fp")
    entries = await harness.store.client.command("XRANGE", harness.store.keys.named("stream:seen"), "-", "+")
    assert [json.loads(fields[5]) for _, fields in entries] == [{"order": "po-1", "depth": 0}]
    assert entries[0][1][1].decode() == event_id


async def test_stream_keeps_its_newest_entries_only(harness: WorkerHarness) -> None:
    await harness.publish("""
- id: tell
  type: purchase_order
  actions: [{id: tell, do: publish, stream: seen, length_max: 2, message: "{id}"}]
""")
    for record in ("po-1", "po-2", "po-3"):
        await harness.send(record)
        await harness.run_worker()
    entries = await harness.store.client.command("XRANGE", harness.store.keys.named("stream:seen"), "-", "+")
    assert [json.loads(fields[5]) for _, fields in entries] == ["po-2", "po-3"]


async def test_rule_reads_the_payload_of_the_delivery(harness: WorkerHarness) -> None:
    await harness.publish(
        "- {id: paid, type: purchase_order, when: {field: delivery.paid, op: eq, value: true},"
        ' actions: [{id: claim, do: http, url: "SINK/claims", body: {total: "{delivery.total}"}}]}'
    )
    await harness.send(body=b'{"paid": true, "total": "12.50"}')
    unpaid = await harness.send("complete-1", body=b'{"paid": false}')
    await harness.run_worker()
    assert harness.sink_bodies() == [{"total": "12.50"}]
    assert (await harness.stored_event(unpaid))["outcome"] == "unmatched"
