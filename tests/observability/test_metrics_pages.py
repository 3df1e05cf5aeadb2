"""Metrics pages of both pods agree with their log lines."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.metrics.families import FAMILIES
from service.metrics.instruments import Gauge
from service.settings import Settings
from tests.observability.run import Run

pytestmark = pytest.mark.slow


def samples(run: Run, pod: str) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return the values by metric name and label values, in the order of the family's labels."""
    orders = {family.name: family.labels for family in FAMILIES}
    return {
        (sample.name, tuple(sample.labels[name] for name in orders[family.name])): sample.value
        for family in text_string_to_metric_families(run.pages[pod])
        for sample in family.samples
        if family.name in orders
    }


@pytest.mark.parametrize("pod", ["service", "workers"])
def test_page_has_every_metric_family(run: Run, pod: str) -> None:
    values = {family.name for family in text_string_to_metric_families(run.pages[pod])}
    assert {family.name for family in FAMILIES} <= values


def test_delivery_metrics_match_the_log_lines(run: Run) -> None:
    values, until = samples(run, "service"), pages_stored_at(run)
    lines = [line for line in run.of("delivery.received") if line["timestamp"] < until and line["source_name"] != "odd"]
    for source in ("pack-orders", "flow-till", "unknown"):
        for status in ("queued", "duplicate", "ignored"):
            logged = sum(line["source_name"] == source and line["delivery_status"] == status for line in lines)
            assert values.get(("waybill_deliveries_total", (source, status, "")), 0) == logged
        accepted = sum(line["source_name"] == source and line["delivery_status"] != "rejected" for line in lines)
        assert values.get(("waybill_delivery_ack_seconds_count", (source,)), 0) == accepted
    differing = sum("differing_event_ids" in line for line in lines)
    assert values["waybill_differing_duplicates_total", ("pack-orders",)] == differing == 1
    rejected = [line["reason"] for line in lines if line["delivery_status"] == "rejected"]
    assert sorted(rejected) == ["not_verified", "unknown_source"]
    assert values["waybill_deliveries_total", ("pack-orders", "rejected", "not_verified")] == 1


def test_store_metrics_are_equal_on_both_pages(run: Run) -> None:
    service, workers = samples(run, "service"), samples(run, "workers")
    gauges = [family.name for family in FAMILIES if isinstance(family, Gauge)]
    same = {"waybill_dead_letters", "waybill_events_pending", "waybill_store_up"} & set(gauges)
    for name in same:
        assert service[name, ("0",)] == workers[name, ("0",)]
    shards = [(str(shard),) for shard in range(Settings().shards)]
    assert sum(workers["waybill_dead_letters", shard] for shard in shards) >= 3
    assert min(workers["waybill_workers_alive", shard] for shard in shards) >= 1
    for page in (service, workers):  # one server, under its first shard
        assert [name[1] for name in page if name[0] == "waybill_store_memory_bytes"] == [("0",)]


def test_worker_metrics_match_the_run(run: Run) -> None:
    values = samples(run, "workers")
    assert values["waybill_leases_lost_total", ()] >= 1
    assert values["waybill_jobs_dead_lettered_total", ()] == 1
    assert values["waybill_events_dead_lettered_total", ("flow-till", "platform_rejected")] == 1
    assert values["waybill_attempts_total", ("pack-orders", "matched")] >= 2
    assert values["waybill_effects_total", ("stuck", "http", "", "error", "target_rejected")] == 1
    assert any(name == "waybill_rulebook_rules" and value == 6 for (name, _), value in values.items())
    assert any(name == "waybill_store_call_seconds_count" and value > 0 for (name, _), value in values.items())


def test_lines_of_effects_name_their_destination(run: Run) -> None:
    assert run.of("action.finished", rule_id="business-customer", action_type="slack", destination_name="sales")
    assert all("destination_name" not in line for line in run.of("action.finished", rule_id="stuck"))


def pages_stored_at(run: Run) -> str:
    """Return a timestamp just after the pages were stored."""
    return run.of("rulebook.rejected")[0]["timestamp"]
