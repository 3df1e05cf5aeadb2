"""Rules that cannot be evaluated or rendered: dead letters that name them, and replays that evaluate only them."""

from collections.abc import AsyncIterator, Callable

import pytest

from service.metrics.families import RULE_ERRORS, RULES_UNKNOWN
from service.sandbox.faults import Fault
from service.settings import Settings
from service.store.management.replay import Replay, plan_replay
from tests.workers.harness import SINK_RULE, WorkerHarness, open_harness, sent_key

pytestmark = pytest.mark.store

FAILING = """
- id: needs-note
  type: purchase_order
  when: {field: raw.no_such_field, op: eq, value: 1}
  on_unknown: error
  actions:
    - {id: note, do: http, url: "SINK/notes", body: {order: "{id}"}}
"""
UNRENDERABLE = """
- id: unrenderable
  type: purchase_order
  actions:
    - {id: put, do: http, url: "SINK/{raw.no_such_field}"}
"""
UNKNOWN = FAILING.replace("needs-note", "is-unknown").replace("error", "skip")
CORRECTED = FAILING.replace("eq, value: 1", "missing")


@pytest.fixture
async def harness(make_settings: Callable[..., Settings]) -> AsyncIterator[WorkerHarness]:
    async with open_harness(make_settings(backoff_base_seconds=0.02, attempts_max=2, lease_seconds=2)) as opened:
        yield opened


async def replay(harness: WorkerHarness, event_id: str, *, rerun: bool = False) -> None:
    planned = plan_replay(await harness.stored_event(event_id), rerun_done=rerun)
    assert isinstance(planned, Replay), planned
    assert await harness.store.replays.replay([planned]) == ["effects"]
    await harness.run_worker()


async def test_event_with_a_failed_rule_becomes_a_dead_letter_that_names_rule_and_field(
    harness: WorkerHarness,
) -> None:
    await harness.publish(FAILING)
    event_id = await harness.send()
    before = RULE_ERRORS.values.get(("needs-note",), 0)
    await harness.run_worker()
    stored = await harness.stored_event(event_id)
    assert (stored["state"], stored["error_kind"]) == ("dead", "rule_failed")
    error = stored["history"][-1]["error"]
    assert "rule needs-note: raw.no_such_field" in error
    (line,) = harness.log_lines("rule.failed")
    assert (line["log_level"], line["rule_id"], line["event_id"]) == ("warning", "needs-note", event_id)
    assert "raw.no_such_field" in line["reason"]
    assert RULE_ERRORS.values.get(("needs-note",), 0) == before + 1


async def test_other_rules_run_before_the_event_becomes_a_dead_letter(harness: WorkerHarness) -> None:
    await harness.publish(UNRENDERABLE + SINK_RULE)
    event_id = await harness.send()
    await harness.run_worker()
    stored = await harness.stored_event(event_id)
    assert harness.idempotency_keys() == [sent_key(f"{event_id}:short-receipt:claim:0")]
    assert (stored["state"], stored["error_kind"], stored["ledger"]) == ("dead", "rule_failed", "df")
    assert "rule unrenderable: action put: raw.no_such_field is missing" in stored["history"][-1]["error"]


async def test_unknown_rule_is_counted_and_ends_its_event(harness: WorkerHarness) -> None:
    await harness.publish(UNKNOWN)
    event_id = await harness.send()
    before = RULES_UNKNOWN.values.get(("is-unknown",), 0)
    await harness.run_worker()
    assert (await harness.stored_event(event_id))["outcome"] == "unmatched"
    assert RULES_UNKNOWN.values.get(("is-unknown",), 0) == before + 1
    assert harness.log_lines("rule.failed") == []


async def test_replay_evaluates_only_the_failed_rule_with_the_active_rulebook(harness: WorkerHarness) -> None:
    await harness.publish(FAILING + SINK_RULE)
    event_id = await harness.send()
    await harness.run_worker()
    await harness.publish(CORRECTED + SINK_RULE + SINK_RULE.replace("short-receipt", "new"))
    await replay(harness, event_id)
    stored = await harness.stored_event(event_id)
    assert (stored["state"], stored["outcome"], stored["ledger"]) == ("ended", "matched", "ddd")
    assert harness.idempotency_keys() == [
        sent_key(f"{event_id}:short-receipt:claim:0"),
        sent_key(f"{event_id}:needs-note:note:0"),
    ]


async def test_replay_of_a_rule_that_fails_again_is_a_dead_letter_again(harness: WorkerHarness) -> None:
    await harness.publish(FAILING)
    event_id = await harness.send()
    await harness.run_worker()
    await replay(harness, event_id)
    stored = await harness.stored_event(event_id)
    assert (stored["state"], stored["error_kind"], stored["ledger"]) == ("dead", "rule_failed", "f")
    assert len(harness.log_lines("rule.failed")) == 2


async def test_replay_of_a_rule_that_was_removed_ends_the_event(harness: WorkerHarness) -> None:
    await harness.publish(FAILING)
    event_id = await harness.send()
    await harness.run_worker()
    await harness.publish(SINK_RULE)
    await replay(harness, event_id)
    stored = await harness.stored_event(event_id)
    assert (stored["state"], stored["outcome"], stored["ledger"]) == ("ended", "unmatched", "d")
    assert harness.idempotency_keys() == []


async def test_rerun_after_a_corrected_rule_runs_each_effect_once_more(harness: WorkerHarness) -> None:
    await harness.publish(FAILING)
    event_id = await harness.send()
    await harness.run_worker()
    await harness.publish(CORRECTED)
    await replay(harness, event_id)
    await replay(harness, event_id, rerun=True)
    stored = await harness.stored_event(event_id)
    assert (stored["state"], stored["ledger"]) == ("ended", "dd")
    assert harness.idempotency_keys() == [sent_key(f"{event_id}:needs-note:note:{number}") for number in (0, 1)]


async def test_replay_whose_fetch_fails_is_tried_again(harness: WorkerHarness) -> None:
    await harness.publish(FAILING)
    event_id = await harness.send()
    await harness.run_worker()
    await harness.publish(CORRECTED)
    harness.sandbox.sandbox.faults.add(Fault(match="/pack_cloud", status=500))
    await replay(harness, event_id)
    stored = await harness.stored_event(event_id)
    assert (stored["state"], stored["ledger"]) == ("ended", "dd")


async def test_replay_compares_with_the_previous_state_of_the_decision(harness: WorkerHarness) -> None:
    changed = "{all: [{field: status, op: changed}, {field: raw.no_such_field, op: %s}]}"
    rule = FAILING.replace("{field: raw.no_such_field, op: eq, value: 1}", changed)
    await harness.publish(rule % "eq, value: 1")
    # The first event has no previous state, and the second one sees no change.
    event_id = await harness.send()
    await harness.send()
    await harness.run_worker()
    await harness.publish(rule % "missing")
    await replay(harness, event_id)
    stored = await harness.stored_event(event_id)
    result = [line for line in stored["history"] if line["entry"] == "decided"][-1]["verdicts"][0]
    assert (result["result"], "status" in result["reason"]) == ("error", True)


async def test_failed_rule_does_not_end_the_retries_of_another_rule(harness: WorkerHarness) -> None:
    await harness.publish(UNRENDERABLE + SINK_RULE)
    harness.sandbox.sandbox.faults.add(Fault(match="/_sandbox/sink/claims", status=500))
    event_id = await harness.send()
    await harness.run_worker()
    stored = await harness.stored_event(event_id)
    assert (stored["error_kind"], stored["ledger"], stored["attempts"]) == ("rule_failed", "df", "2")
