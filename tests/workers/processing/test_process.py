"""Every fate of an event, on a real store with a real HTTP platform and sink."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest

from service.sandbox.faults import Fault
from service.settings import Settings
from service.store import NextEvent, SettlementWrite
from tests.workers.harness import SINK_RULE, House, open_house

pytestmark = pytest.mark.store


@pytest.fixture
async def house(make_settings: Callable[..., Settings]) -> AsyncIterator[House]:
    settings = make_settings(backoff_base_seconds=0.02, attempts_max=3, lease_seconds=2, stale_read_wait_seconds=0.6)
    async with open_house(settings) as opened:
        yield opened


async def test_a_matching_order_causes_its_action_once(house: House) -> None:
    await house.publish(SINK_RULE)
    event_id = await house.send()
    await house.work()
    assert house.sunk() == [{"order": "po-1"}]
    assert house.keys() == [f"{event_id}:short-receipt:claim:0"]
    story = await house.story(event_id)
    assert (story["state"], story["outcome"], story["ledger"]) == ("ended", "matched", "d")
    assert [line["entry"] for line in story["history"]] == ["received", "decided", "effect", "attempt"]
    (finished,) = house.said("attempt.finished")
    assert (finished["outcome"], finished["attempt"], finished["actions_run"]) == ("matched", 1, 1)


async def test_an_order_that_does_not_match_ends_without_action(house: House) -> None:
    await house.publish(SINK_RULE)
    event_id = await house.send("complete-1")
    await house.work()
    assert house.sunk() == []
    assert (await house.story(event_id))["outcome"] == "unmatched"


async def test_a_failed_fetch_is_repeated_with_back_off(house: House) -> None:
    await house.publish(SINK_RULE)
    house.sandbox.sandbox.faults.add(Fault(match="/pack_cloud", status=500))
    event_id = await house.send()
    await house.work()
    assert [line["outcome"] for line in house.said("attempt.finished")] == ["retried", "matched"]
    assert [line["http_status"] for line in house.said("record.fetched")] == [500, 200]
    assert (await house.story(event_id))["attempts"] == "2"


async def test_a_fetch_that_never_succeeds_ends_as_a_dead_letter_with_its_last_error(house: House) -> None:
    await house.publish(SINK_RULE)
    house.sandbox.sandbox.faults.add(Fault(match="/pack_cloud", status=500, times=9))
    event_id = await house.send()
    await house.work()
    story = await house.story(event_id)
    assert (story["state"], story["attempts"]) == ("dead", "3")
    assert story["history"][-1]["outcome"] == "dead_lettered"
    assert story["event"] is not None
    assert [summary.id for summary in await house.store.events.page("dead", 10)] == [event_id]
    assert (await house.store.sample()).dead_letters == 1


async def test_a_refused_token_is_a_dead_letter_at_once(house: House) -> None:
    await house.publish(SINK_RULE)
    house.sandbox.sandbox.faults.add(Fault(match="/pack_cloud", status=401))
    event_id = await house.send()
    await house.work()
    story = await house.story(event_id)
    assert (story["state"], story["attempts"]) == ("dead", "1")


async def test_an_updated_record_that_is_gone_is_decided_on_what_was_last_known(house: House) -> None:
    await house.publish(SINK_RULE)
    event_id = await house.send("missing-1")
    await house.work()
    story = await house.story(event_id)
    assert story["outcome"] == "unmatched"
    assert next(line for line in story["history"] if line["entry"] == "decided")["gone"] is True


async def test_a_created_record_that_answers_404_is_waited_for_without_using_up_an_attempt(house: House) -> None:
    await house.publish(SINK_RULE)
    event_id = await house.send("missing-1", "created")
    await house.work()
    assert {line["outcome"] for line in house.said("attempt.finished")} == {"deferred", "unmatched"}
    assert (await house.story(event_id))["attempts"] == "1"


async def test_a_burst_on_one_record_costs_one_fetch_and_each_event_is_decided_in_order(house: House) -> None:
    await house.publish(SINK_RULE)
    ids = [await house.send() for _ in range(5)]
    await house.work()
    assert len(house.said("record.fetched")) == 1
    assert [line["event_id"] for line in house.said("attempt.finished")] == ids
    assert house.keys() == [f"{event_id}:short-receipt:claim:0" for event_id in ids]


async def test_an_effect_that_fails_waits_off_its_lane_and_is_not_decided_again(house: House) -> None:
    await house.publish(SINK_RULE)
    house.sandbox.sandbox.faults.add(Fault(match="/_sandbox/sink", status=503))
    first, second = await house.send(), await house.send()
    await house.work()
    assert len(house.said("record.fetched")) == 1
    outcomes = [(line["event_id"], line["outcome"]) for line in house.said("attempt.finished")]
    assert outcomes[0] == (first, "retried")
    assert sorted(outcomes[1:]) == sorted([(first, "matched"), (second, "matched")])
    assert sorted(house.keys()) == sorted(f"{event_id}:short-receipt:claim:0" for event_id in (first, second))
    story = await house.story(first)
    assert [line["entry"] for line in story["history"]].count("decided") == 1


async def test_an_effect_that_is_refused_makes_a_dead_letter_and_does_not_stop_other_rules(house: House) -> None:
    other = SINK_RULE.replace("short-receipt", "other").replace("claims", "other")
    await house.publish(SINK_RULE + other)
    house.sandbox.sandbox.faults.add(Fault(match="/_sandbox/sink/claims", status=400))
    event_id = await house.send()
    await house.work()
    story = await house.story(event_id)
    assert (story["state"], sorted(story["ledger"])) == ("dead", ["d", "f"])
    assert house.keys() == [f"{event_id}:other:claim:0"]


async def test_later_effects_of_a_failed_one_in_the_same_rule_are_held_up(house: House) -> None:
    second = """    - {id: after, do: http, url: "SINK/after", body: {}}\n"""
    await house.publish(SINK_RULE + second)
    house.sandbox.sandbox.faults.add(Fault(match="/_sandbox/sink/claims", status=400))
    event_id = await house.send()
    await house.work()
    assert (await house.story(event_id))["ledger"] == "fp"
    assert house.keys() == []


async def test_without_event_ids_the_same_change_on_the_same_state_is_unchanged(house: House) -> None:
    await house.publish(SINK_RULE)
    first = await house.send(identified=False)
    await house.work()
    second = await house.send(identified=False)
    third = await house.send(change="created", identified=False)
    await house.work()
    ends = [(await house.story(event_id))["outcome"] for event_id in (first, second, third)]
    assert ends == ["matched", "unchanged", "matched"]
    assert len(house.keys()) == 2


async def test_previous_is_what_the_last_decision_saw(house: House) -> None:
    await house.publish("""
- id: turned
  type: purchase_order
  when: {field: status, op: changed}
  actions: [{id: tell, do: http, url: "SINK/turned", body: {was: "{previous.status}", is: "{status}"}}]
""")
    order: dict[str, object] = {"id": "po-1", "status": "ordered", "updated_at": "2026-01-01T00:00:00Z"}
    house.sandbox.sandbox.catalog.put("pack_cloud", "purchase_order", "po-1", order)
    await house.send()
    await house.work()
    assert house.sunk() == []
    house.sandbox.sandbox.catalog.put(
        "pack_cloud", "purchase_order", "po-1", order | {"status": "received", "updated_at": "2026-01-02T00:00:00Z"}
    )
    await house.send()
    await house.work()
    assert house.sunk() == [{"was": "ordered", "is": "received"}]


async def test_a_hint_becomes_one_event_of_its_customer(house: House) -> None:
    await house.publish("""
- id: greet
  type: customer
  when: {field: id, op: exists}
  actions: [{id: hello, do: http, url: "SINK/customers", body: {}}]
""")
    event_id = await house.send("order-1", kind="order")
    await house.work()
    assert (await house.story(event_id))["outcome"] == "resolved"
    assert len(house.sunk()) == 1


async def test_an_event_whose_bytes_are_gone_or_damaged_is_a_dead_letter_and_its_lane_goes_on(house: House) -> None:
    await house.publish(SINK_RULE)
    gone, damaged, sound = [await house.send() for _ in range(3)]
    await house.store.client.command("DEL", f"wb:delivery:{gone}")
    await house.store.client.command("SET", f"wb:delivery:{damaged}", b"\xff\x00")
    await house.work()
    shown = [await house.story(event_id) for event_id in (gone, damaged, sound)]
    ends = [each["error_kind"] or each["outcome"] for each in shown]
    assert ends == ["payload_missing", "undecodable", "matched"]


async def test_a_damaged_job_payload_does_not_keep_the_event_from_its_end(house: House) -> None:
    await house.publish(SINK_RULE)
    event_id = await house.send()
    await house.store.client.command("SET", "arq:job:wb:lane:pack:purchase_order:po-1", b"\x80garbage")
    await house.work()
    assert (await house.story(event_id))["outcome"] == "matched"


@pytest.mark.slow
async def test_a_run_whose_end_crosses_the_renewal_of_its_lease_has_lost_nothing(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_house(make_settings(lease_seconds=3)) as house:
        lanes = house.store.lanes
        settle = lanes.settle

        async def settle_slowly(settled: SettlementWrite) -> NextEvent:
            onward = await settle(settled)
            await asyncio.sleep(1.2)  # longer than a third of the lease, so that it is renewed meanwhile
            return onward

        monkeypatch.setattr(lanes, "settle", settle_slowly)
        await house.publish(SINK_RULE)
        await house.send()
        await house.work()
        assert house.said("lease.lost") == []
        assert [line["outcome"] for line in house.said("attempt.finished")] == ["matched"]


async def test_nothing_is_left_behind_once_all_has_ended(house: House) -> None:
    await house.publish(SINK_RULE)
    for number in range(10):
        await house.send(f"po-{number % 3}")
    await house.work()
    left = [key.decode() for key in await house.store.client.command("KEYS", "*")]
    lanes_and_jobs = [key for key in left if key.startswith(("arq:", "wb:lane:", "wb:open", "wb:effects:"))]
    assert lanes_and_jobs == []
    sample = await house.store.sample()
    assert (sample.due, sample.pending, sample.running) == (0, 0, 0)


EMIT_RULE = """
- id: again
  type: purchase_order
  actions:
    - {id: more, do: emit, type: order.recheck, change: changed, record: "RECORD"}
    - {id: tell, do: publish, stream: seen, length_max: 3, message: {order: "{id}", depth: "{event.depth}"}}
"""


async def test_an_emitted_event_and_a_published_entry_come_with_the_word_that_they_are_done(house: House) -> None:
    await house.publish(EMIT_RULE.replace("RECORD", "complete-1"))
    event_id = await house.send()
    await house.work()
    emitted = (await house.story(event_id))["history"][2]["answer"]["emitted"]
    story = await house.story(emitted)
    assert story["event"]["record"].id == "complete-1"
    assert story["event"]["depth"] == 1
    # The derived event matched as well; what it would emit is the record it is about already: a loop.
    assert (story["state"], story["error_kind"], story["ledger"]) == ("dead", "emit_loop", "fp")
    entries = await house.store.client.command("XRANGE", house.store.keys.named("stream:seen"), "-", "+")
    assert [json.loads(fields[5]) for _, fields in entries] == [{"order": "po-1", "depth": 0}]
    assert entries[0][1][1].decode() == event_id


async def test_a_stream_keeps_its_newest_entries_only(house: House) -> None:
    await house.publish("""
- id: tell
  type: purchase_order
  actions: [{id: tell, do: publish, stream: seen, length_max: 2, message: "{id}"}]
""")
    for record in ("po-1", "po-2", "po-3"):
        await house.send(record)
        await house.work()
    entries = await house.store.client.command("XRANGE", house.store.keys.named("stream:seen"), "-", "+")
    assert [json.loads(fields[5]) for _, fields in entries] == ["po-2", "po-3"]
