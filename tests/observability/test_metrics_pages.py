"""What both pods told Prometheus during the run, against the lines they wrote until then."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.metrics.families import FAMILIES
from service.metrics.instruments import Gauge
from tests.observability.run import Run


def samples(run: Run, pod: str) -> dict[tuple[str, tuple[str, ...]], float]:
    """The values by name and labels, these in the order in which their family names them."""
    orders = {family.name: family.labels for family in FAMILIES}
    return {
        (sample.name, tuple(sample.labels[name] for name in orders[family.name])): sample.value
        for family in text_string_to_metric_families(run.pages[pod])
        for sample in family.samples
        if family.name in orders
    }


@pytest.mark.parametrize("pod", ["service", "workers"])
def test_every_family_is_on_the_page(run: Run, pod: str) -> None:
    told = {family.name for family in text_string_to_metric_families(run.pages[pod])}
    assert {family.name for family in FAMILIES} <= told


def test_deliveries_and_answers_are_counted_as_they_are_logged(run: Run) -> None:
    told, until = samples(run, "service"), moment(run)
    lines = [line for line in run.of("delivery.received") if line["timestamp"] < until and line["source_name"] != "odd"]
    for source in ("pack-orders", "flow-till", "unknown"):
        for status in ("queued", "duplicate", "ignored"):
            logged = sum(line["source_name"] == source and line["delivery_status"] == status for line in lines)
            assert told.get(("waybill_deliveries_total", (source, status, "")), 0) == logged
        accepted = sum(line["source_name"] == source and line["delivery_status"] != "rejected" for line in lines)
        assert told.get(("waybill_delivery_ack_seconds_count", (source,)), 0) == accepted
    rejected = [line["reason"] for line in lines if line["delivery_status"] == "rejected"]
    assert sorted(rejected) == ["not_verified", "unknown_source"]
    assert told["waybill_deliveries_total", ("pack-orders", "rejected", "not_verified")] == 1


def test_the_store_s_numbers_are_the_same_on_both_pages(run: Run) -> None:
    service, workers = samples(run, "service"), samples(run, "workers")
    looked = [family.name for family in FAMILIES if isinstance(family, Gauge)]
    same = {"waybill_dead_letters", "waybill_events_pending", "waybill_store_up"} & set(looked)
    for name in same:
        assert service[name, ()] == workers[name, ()]
    assert workers["waybill_dead_letters", ()] >= 3
    assert workers["waybill_workers_alive", ()] >= 1


def test_a_worker_counts_what_it_logs(run: Run) -> None:
    told = samples(run, "workers")
    assert told["waybill_leases_lost_total", ()] >= 1
    assert told["waybill_jobs_dead_lettered_total", ()] == 1
    assert told["waybill_events_dead_lettered_total", ("flow-till", "platform_rejected")] == 1
    assert told["waybill_attempts_total", ("pack-orders", "matched")] >= 2
    assert told["waybill_effects_total", ("stuck", "http", "error", "target_rejected")] == 1
    assert any(name == "waybill_rulebook_rules" and value == 4 for (name, _), value in told.items())
    assert any(name == "waybill_store_call_seconds_count" and value > 0 for (name, _), value in told.items())


def moment(run: Run) -> str:
    """When the pages were asked for: after the lease was lost, before the rulebook was spoilt."""
    return run.of("rulebook.rejected")[0]["timestamp"]
