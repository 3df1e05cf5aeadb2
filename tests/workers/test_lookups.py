"""Look-ups of a worker: which records are fetched, what their absence means, limits, and the history."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from service import lookups
from service.cli.explanation_output import format_explanation
from service.events import RecordRef
from service.management import dry_run
from service.management.audit_log import Actor
from service.management.dry_run import Candidate, DryRunOperations
from service.management.operations import AdminOperations
from service.settings import Settings
from service.store.management.replay import Replay, plan_replay
from tests.waiting import until
from tests.workers.harness import shorten_circuits
from tests.workers.lookup_systems import ORDER, RECORDS, LookupHarness, decision_of, open_lookups, results_of
from tests.workers.test_failed_rules import replay
from workers.processing import decisions, process

pytestmark = pytest.mark.store

SUPPLIER = "/api/suppliers/S-1"
ONE_ATTEMPT: dict[str, object] = {"attempts_max": 1, "stale_read_wait_seconds": 0.0}
BOTH = {"risky-supplier": "matched", "out-of-stock": "matched"}


@pytest.fixture
async def opened(make_settings: Callable[..., Settings], tmp_path: Path) -> AsyncIterator[LookupHarness]:
    async with open_lookups(make_settings(**ONE_ATTEMPT), tmp_path) as harness:
        yield harness


async def test_a_rule_that_does_not_apply_causes_no_call(opened: LookupHarness) -> None:
    opened.systems.records["/api/orders/PO-1"] = {**ORDER, "status": "closed"}
    stored = await opened.process()
    assert opened.systems.calls == ["/api/orders/PO-1"]
    assert results_of(stored) == {"risky-supplier": "unmatched", "out-of-stock": "unmatched"}
    assert "lookups" not in decision_of(stored)


async def test_conditions_and_templates_read_looked_up_records(opened: LookupHarness) -> None:
    stored = await opened.process()
    assert results_of(stored) == BOTH
    assert opened.systems.lookups() == [SUPPLIER, "/v1/stock/A", "/v1/stock/B"]
    assert await opened.published("approvals") == [{"order": "PO-1", "supplier": "Slow Ltd", "rating": 2}]
    assert await opened.published("reorders") == [
        {
            "order": "PO-1",
            "lines": [{"sku": "A", "ordered": 2, "available": 5}, {"sku": "B", "ordered": 9, "available": 8}],
        }
    ]
    (line,) = opened.harness.log_lines("attempt.finished")
    assert (line["lookups"], line["lookups_failed"]) == (3, 0)
    fetched = [(line["platform"], line.get("lookup")) for line in opened.harness.log_lines("record.fetched")]
    assert sorted(fetched, key=str) == [("erp", None), ("erp", True), ("wms", True), ("wms", True)]


async def test_history_and_explanation_have_the_lookups(opened: LookupHarness) -> None:
    stored = await opened.process()
    found = {each["record"]: each for each in decision_of(stored)["lookups"]}
    assert sorted(found) == ["erp:supplier:S-1", "wms:stock:A", "wms:stock:B"]
    assert all(len(each["digest"]) == 32 and each["duration_ms"] > 0 for each in found.values())
    assert "Ann" not in str(stored["history"]), "a personal field is neither compared nor stored"
    explanation = await AdminOperations(opened.installation, Actor("ann", "admin")).explain_event(
        stored["id"], raw=False
    )
    lines = list(format_explanation(explanation, datetime.now(UTC)))
    assert any(line.startswith("+ looked up erp:supplier:S-1: state ") for line in lines)
    assert "+ supplier.rating < 3: was 2" in map(str.strip, lines)


async def test_a_missing_record_is_unknown_with_a_reason(opened: LookupHarness) -> None:
    del opened.systems.records[SUPPLIER]
    del opened.systems.records["/v1/stock/B"]
    stored = await opened.process()
    reasons = {verdict["rule_id"]: verdict["reason"] for verdict in decision_of(stored)["verdicts"]}
    assert reasons == {
        "risky-supplier": "supplier: erp has no such supplier (404), at when.all[1].any[0]",
        "out-of-stock": "items: wms has no such stock (404), at when.all[1].any_of.where",
    }
    assert results_of(stored) == {"risky-supplier": "unknown", "out-of-stock": "unknown"}
    assert stored["state"] == "ended"


async def test_an_unauthorized_lookup_is_an_error_of_its_rule_and_the_others_run(opened: LookupHarness) -> None:
    opened.systems.statuses[SUPPLIER] = [400]
    stored = await opened.process()
    assert results_of(stored) == {"risky-supplier": "error", "out-of-stock": "matched"}
    assert (stored["state"], stored["error_kind"]) == ("dead", "rule_failed")
    assert len(await opened.published("reorders")) == 1


async def test_a_failing_lookup_is_unknown_if_the_rule_says_so(opened: LookupHarness) -> None:
    opened.systems.statuses["/v1/stock/A"] = [500]
    del opened.systems.records["/v1/stock/B"]
    stored = await opened.process()
    assert results_of(stored) == {"risky-supplier": "matched", "out-of-stock": "unknown"}
    found = {each["record"]: each.get("error_kind") for each in decision_of(stored)["lookups"]}
    assert found == {"erp:supplier:S-1": None, "wms:stock:A": "platform_unavailable", "wms:stock:B": "missing"}


async def test_a_template_that_needs_a_missing_record_is_not_rendered(opened: LookupHarness) -> None:
    del opened.systems.records["/v1/stock/A"]  # the condition is true for the other element
    stored = await opened.process()
    (verdict,) = [each for each in decision_of(stored)["verdicts"] if each["rule_id"] == "out-of-stock"]
    assert (verdict["result"], verdict["reason"]) == (
        "unknown",
        "action reorder: items: wms has no such stock (404)",
    )


async def test_a_failed_lookup_is_retried_like_a_fetch(make_settings: Callable[..., Settings], tmp_path: Path) -> None:
    settings = make_settings(attempts_max=3, backoff_base_seconds=0.01, backoff_seconds_max=0.02)
    async with open_lookups(settings, tmp_path) as opened:
        opened.systems.statuses[SUPPLIER] = [500, 500]
        stored = await opened.process()
        assert results_of(stored) == BOTH
        assert stored["attempts"] == "3"
        assert [line["outcome"] for line in opened.harness.log_lines("attempt.finished")] == [
            "retried",
            "retried",
            "matched",
        ]
        assert len(await opened.published("approvals")) == 1


async def test_a_missing_record_is_awaited_like_a_stale_read(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    async with open_lookups(make_settings(attempts_max=1, stale_read_wait_seconds=60.0), tmp_path) as opened:
        found = opened.systems.records.pop(SUPPLIER)
        event_id = await opened.ingest()
        await opened.harness.run_until_idle(opened.harness.worker())
        stored = await opened.harness.stored_event(event_id)
        assert (stored["state"], stored["waiting_for"]) == ("queued", "lookup_missing")
        opened.systems.records[SUPPLIER] = found
        await opened.harness.run_worker()
        stored = await opened.harness.stored_event(event_id)
        assert (results_of(stored), stored["attempts"]) == (BOTH, "1")


@pytest.mark.slow
async def test_lookups_share_the_limit_of_their_account(make_settings: Callable[..., Settings], tmp_path: Path) -> None:
    settings = make_settings(attempts_max=1)
    async with open_lookups(settings, tmp_path, erp={"requests_per_minute_max": 1}) as opened:
        event_id = await opened.ingest()
        await opened.harness.run_until_idle(opened.harness.worker())
        assert SUPPLIER not in opened.systems.calls, "the fetch used the only call of the minute"
        stored = await opened.harness.stored_event(event_id)
        assert (stored["state"], stored["waiting_for"]) == ("queued", "account_throttled")
        await opened.next_minute("erp")
        await opened.harness.run_worker()
        stored = await opened.harness.stored_event(event_id)
        assert (results_of(stored), stored["attempts"]) == (BOTH, "1")
        calls = ["/api/orders/PO-1", SUPPLIER, "/v1/stock/A", "/v1/stock/B"]
        assert sorted(opened.systems.calls) == calls, "the next attempt continued"


@pytest.mark.slow
async def test_lookups_share_the_circuit_of_their_account(
    make_settings: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_circuits(monkeypatch)
    settings = make_settings(attempts_max=1, wake_timeout_seconds=0.05)
    async with open_lookups(settings, tmp_path) as opened:
        opened.systems.statuses[SUPPLIER] = [503]
        stored = await opened.process()
        assert (results_of(stored), stored["attempts"]) == (BOTH, "1"), "the open circuit deferred the attempt"
        assert opened.systems.calls.count(SUPPLIER) == 2


async def test_a_slow_lookup_ends_at_its_deadline(opened: LookupHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "LOOKUP_SECONDS_MAX", 0.3)
    opened.systems.held |= {SUPPLIER: asyncio.Event(), "/v1/stock/B": asyncio.Event()}
    stored = await opened.process()
    assert results_of(stored) == {"risky-supplier": "error", "out-of-stock": "unknown"}
    assert "no response within 0.3 seconds for all look-ups of the event" in str(decision_of(stored))


@pytest.mark.parametrize(("limit", "value"), [("LOOKUP_RECORDS_MAX", 3), ("LOOKUP_BYTES_MAX", 300)])
async def test_lookups_up_to_a_limit_are_made(
    opened: LookupHarness, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(lookups, limit, value)
    assert results_of(await opened.process()) == BOTH


@pytest.mark.parametrize(
    ("limit", "value", "error_kind"),
    [("LOOKUP_RECORDS_MAX", 2, "lookup_too_many"), ("LOOKUP_BYTES_MAX", 30, "lookup_too_large")],
)
async def test_lookups_beyond_a_limit_are_unknown_and_not_silent(
    opened: LookupHarness, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, error_kind: str
) -> None:
    monkeypatch.setattr(lookups, limit, value)
    stored = await opened.process()
    assert error_kind in {each.get("error_kind") for each in decision_of(stored)["lookups"]}
    assert set(results_of(stored).values()) <= {"unknown", "error", "matched"}
    assert results_of(stored) != BOTH


async def test_records_beyond_the_number_of_lookups_are_one_entry(
    opened: LookupHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "LOOKUP_RECORDS_MAX", 1)
    stored = await opened.process()
    assert results_of(stored) == {"risky-supplier": "error", "out-of-stock": "unknown"}
    assert [(each["record"], each.get("error_kind")) for each in decision_of(stored)["lookups"]] == [
        ("wms:stock:A", None),
        ("2 further records", "lookup_too_many"),
    ]
    (line,) = opened.harness.log_lines("attempt.finished")
    assert (line["lookups"], line["lookups_failed"]) == (1, 0)
    explanation = await AdminOperations(opened.installation, Actor("ann", "admin")).explain_event(
        stored["id"], raw=False
    )
    reason = "lookup_too_many, more than 1 records are looked up for the event"
    assert f"! looked up 2 further records: {reason}, 0 ms" in format_explanation(explanation, datetime.now(UTC))


async def test_rules_are_evaluated_in_a_thread_if_a_looked_up_record_is_large(
    opened: LookupHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_event_loop: list[bool] = []

    def decide(*args: Any, **kwargs: Any) -> Any:
        in_event_loop.append(threading.current_thread() is threading.main_thread())
        return decisions.decide(*args, **kwargs)

    monkeypatch.setattr(process, "decide", decide)
    opened.systems.records[SUPPLIER] = {**RECORDS[SUPPLIER], "notes": "x" * 2_000_000}
    assert results_of(await opened.process()) == BOTH
    assert (in_event_loop[0], in_event_loop[-1]) == (True, False), "only the look-ups are large"


async def test_a_replay_of_a_failed_rule_looks_up_again(opened: LookupHarness) -> None:
    opened.systems.statuses[SUPPLIER] = [400]
    stored = await opened.process()
    assert results_of(stored)["risky-supplier"] == "error"
    await replay(opened.harness, stored["id"])
    await opened.harness.run_worker()
    stored = await opened.harness.stored_event(stored["id"])
    assert results_of(stored) == {"risky-supplier": "matched"}
    assert (len(await opened.published("approvals")), len(await opened.published("reorders"))) == (1, 1)


@pytest.mark.slow
async def test_a_replay_of_a_failed_rule_continues_its_lookups(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    async with open_lookups(make_settings(**ONE_ATTEMPT), tmp_path, erp={"requests_per_minute_max": 1}) as opened:
        opened.systems.statuses[SUPPLIER] = [400]
        event_id = await opened.ingest()
        await opened.harness.run_until_idle(opened.harness.worker())
        await opened.next_minute("erp")
        await opened.harness.run_worker()
        stored = await opened.harness.stored_event(event_id)
        assert results_of(stored)["risky-supplier"] == "error"
        planned = plan_replay(stored, rerun_done=False)
        assert isinstance(planned, Replay)
        await opened.harness.store.replays.replay([planned])
        await opened.next_minute("erp")
        opened.systems.calls.clear()
        await opened.harness.run_until_idle(opened.harness.worker())
        assert opened.systems.calls == ["/api/orders/PO-1"], "the fetch used the only call of the minute"
        await opened.next_minute("erp")
        await opened.harness.run_worker()
        assert results_of(await opened.harness.stored_event(event_id)) == {"risky-supplier": "matched"}
        assert opened.systems.calls == ["/api/orders/PO-1", SUPPLIER], "the next attempt continued"


async def test_a_dry_run_looks_up_and_lists_the_records(opened: LookupHarness) -> None:
    operations = DryRunOperations(opened.installation, Actor("ann", "admin"))
    found = await operations.dry_run_record(Candidate(), RecordRef("erp", "purchase_order", "PO-1"))
    assert {each.rule_id: each.result for each in found.verdicts} == BOTH
    assert sorted(each.record for each in found.lookups) == ["erp:supplier:S-1", "wms:stock:A", "wms:stock:B"]
    assert str(found.rule_test).startswith("- name: erp:purchase_order:PO-1 at "), "the test has the same results"
    assert "  - kind: supplier\n    platform: erp\n" in str(found.rule_test)
    opened.systems.statuses[SUPPLIER] = [500]
    found = await operations.dry_run_record(Candidate(), RecordRef("erp", "purchase_order", "PO-1"))
    assert [each.result for each in found.verdicts] == ["matched", "error"]
    compared = await operations.compare_rules(Candidate(rules=()), 10)
    assert compared.events_evaluated == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "accounts", "reason"),
    [
        (1.0, ("erp", "wms"), "no response within 1 seconds"),
        (30.0, ("erp",), "platform: platform account 'wms' not found. Fix: use one of: erp"),
    ],
)
async def test_a_comparison_skips_an_event_whose_lookups_fail(
    opened: LookupHarness, monkeypatch: pytest.MonkeyPatch, seconds: float, accounts: tuple[str, ...], reason: str
) -> None:
    monkeypatch.setattr(dry_run, "RUN_SECONDS_MAX", seconds)
    opened.systems.held[SUPPLIER] = asyncio.Event()
    opened.systems.records["/api/orders/PO-2"] = {**ORDER, "id": "PO-2", "status": "closed"}
    slow, closed = [await opened.ingest(each) for each in ("PO-1", "PO-2")]
    platforms = {name: each for name, each in opened.installation.platforms().items() if name in accounts}
    installation = structs.replace(opened.installation, platforms=lambda: platforms)
    before = asyncio.all_tasks()
    compared = await DryRunOperations(installation, Actor("ann", "admin")).compare_rules(Candidate(rules=()), 10)
    left = {str(task.get_coro()) for task in asyncio.all_tasks() - before}
    assert not [each for each in left if "compare_on_recent_events" in each or "RecordLookups" in each]
    assert [(each.event_id, each.reason) for each in compared.skipped] == [(slow, reason)]
    assert compared.events_evaluated == 1
    assert {each.event_id for each in compared.differences} == {closed}


async def test_a_bounded_number_of_records_is_looked_up_at_once(
    opened: LookupHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "LOOKUPS_AT_ONCE_MAX", 1)
    opened.systems.held["/v1/stock/A"] = asyncio.Event()
    event_id = await opened.ingest()
    running = asyncio.create_task(opened.harness.run_worker())
    await until(lambda: "/v1/stock/A" in opened.systems.calls)
    assert "/v1/stock/B" not in opened.systems.calls
    opened.systems.held.pop("/v1/stock/A").set()
    await running
    assert results_of(await opened.harness.stored_event(event_id)) == BOTH


async def test_a_response_above_the_size_of_a_fetch_is_an_error(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = make_settings(**ONE_ATTEMPT, fetch_bytes_max=2_000)
    async with open_lookups(settings, tmp_path) as opened:
        opened.systems.records[SUPPLIER] = {**RECORDS[SUPPLIER], "notes": "x" * 2_000}
        assert results_of(await opened.process()) == {"risky-supplier": "error", "out-of-stock": "matched"}


async def test_a_rulebook_without_lookups_makes_none(opened: LookupHarness, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(
        "- {id: a, type: purchase_order, when: {field: status, op: eq, value: open},"
        " actions: [{id: l, do: log, message: x}]}"
    )
    await opened.publish(tmp_path / "other.yaml")
    assert results_of(await opened.process()) == {"a": "matched"}
    assert opened.systems.lookups() == []
