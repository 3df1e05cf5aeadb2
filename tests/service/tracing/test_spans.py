"""Spans without and with a tracer, on a real collector."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from service.dev.demo import wait_until
from service.errors import ConfigError, Deferred, PermanentError
from service.metrics.families import SPANS
from service.metrics.instruments import Histogram
from service.metrics.page import MetricsPage
from service.metrics.samples import collect
from service.tracing.spans import NO_SPAN, current_ids, current_traceparent, start_span
from service.tracing.startup import send_traces
from tests.service.log_pipe import LogPipe
from tests.service.tracing.collector import PORT_OF_NOBODY, Collector, running_collector
from tests.waiting import PATIENCE_SECONDS

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NOT_SAMPLED = TRACEPARENT.removesuffix("01") + "00"


@pytest.fixture(autouse=True)
def end_of_exports() -> Iterator[None]:
    """Wait for the threads that export. They use the module `random`, which Hypothesis watches in later tests."""
    earlier = threading.enumerate()
    yield
    for thread in threading.enumerate():
        if thread not in earlier:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    SPANS.values.clear()
    with running_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        yield collector


def sent(outcome: str) -> float:
    return SPANS.values[outcome,]


def test_unsupported_protocol_is_rejected() -> None:
    with pytest.raises(ConfigError, match=r"grpc is not supported.*http/protobuf"):
        send_traces("service", {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, enabled=True)


def test_missing_packages_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "service.tracing.otlp", None)
    with pytest.raises(ConfigError, match=r"WAYBILL_TRACES.*pip install 'waybill\[traces\]'"):
        send_traces("service", {}, enabled=True)


def test_invalid_variable_of_opentelemetry_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1")  # less than one batch
    with pytest.raises(ConfigError, match=r"OTEL_\*"):
        send_traces("service", {}, enabled=True)


@pytest.mark.slow
def test_without_traces_no_span_exists_and_opentelemetry_is_not_imported() -> None:
    with send_traces("service", {}, enabled=False), start_span("delivery", parent=TRACEPARENT) as span:
        assert span is NO_SPAN
        assert (current_ids(), current_traceparent("received")) == (None, "received")
    program = "import sys, service.ingress.commands, workers.commands; print('opentelemetry' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "False"


def test_span_continues_the_trace_of_its_parent(collector: Collector) -> None:
    with send_traces("workers", {}, enabled=True):
        attributes = {"waybill.a": 1, "b": None}
        with start_span("attempt", "consumer", parent=TRACEPARENT, age_ms=1_000, attributes=attributes):
            inside = current_traceparent(None)
            with start_span("fetch", "client") as span:
                span.set({"waybill.rules": ["x", "y"]})
        assert current_traceparent(None) is None
    (attempt,), (fetch,) = collector.named("attempt"), collector.named("fetch")
    assert inside == f"00-{attempt.trace_id}-{attempt.span_id}-01"
    assert (attempt.trace_id, attempt.parent_id) == (TRACEPARENT[3:35], TRACEPARENT[36:52])
    assert (fetch.trace_id, fetch.parent_id) == (attempt.trace_id, attempt.span_id)
    assert attempt.end_ns - attempt.start_ns >= 1_000_000_000
    assert (attempt.attributes, fetch.attributes) == ({"waybill.a": 1}, {"waybill.rules": ["x", "y"]})
    assert fetch.resource["service.name"] == "waybill-workers"
    assert {"service.version", "service.instance.id"} <= fetch.resource.keys()
    assert sent("exported") == 2


def test_names_of_the_environment_replace_those_of_the_resource(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "orders")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    with send_traces("workers", {}, enabled=True):
        start_span("attempt").end()
    resource = collector.spans[0].resource
    assert (resource["service.name"], resource["deployment.environment.name"]) == ("orders", "test")


def test_trace_that_the_sender_does_not_record_is_not_recorded(collector: Collector) -> None:
    with send_traces("service", {}, enabled=True), start_span("delivery", parent=NOT_SAMPLED) as span:
        assert span.traceparent is not None
        assert span.traceparent.startswith(NOT_SAMPLED[:35])
        assert span.traceparent.endswith("-00")
        assert current_ids() is None
    assert (collector.spans, sent("dropped")) == ([], 0)


def test_error_marks_the_span_as_failed_and_a_wait_does_not(collector: Collector) -> None:
    with send_traces("workers", {}, enabled=True):
        with pytest.raises(PermanentError), start_span("fetch"):
            raise PermanentError("not_found", "no such record")
        with pytest.raises(Deferred), start_span("effect"):
            raise Deferred("circuit_open", "the circuit is open", seconds=1)
    (fetch,), (effect,) = collector.named("fetch"), collector.named("effect")
    assert (fetch.is_error, fetch.attributes["error.type"]) == (True, "not_found")
    assert not effect.is_error


def test_full_queue_drops_spans_and_blocks_nothing(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5")
    collector.release.clear()  # the collector reads requests and does not answer
    with send_traces("service", {}, enabled=True):
        started = time.perf_counter()
        for _ in range(1_000):
            start_span("delivery").end()
        assert time.perf_counter() - started < 5
        assert sent("dropped") == 990
        collector.release.set()
        wait_until(lambda: sent("exported") == 10, 60, "export")
    assert len(collector.spans) == 10


def test_rejecting_collector_loses_spans_and_they_are_counted(collector: Collector, read: LogPipe) -> None:
    collector.status = 400
    with send_traces("service", {}, enabled=True):
        start_span("delivery").end()
        wait_until(lambda: sent("failed") == 1, 60, "failed export")
    (line,) = read()
    assert (line["message"], line["level"]) == ("library.logged", "error")
    assert "Failed to export spans batch" in line["text"]


@pytest.mark.slow
@pytest.mark.usefixtures("collector")
def test_absent_collector_delays_the_end_by_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{PORT_OF_NOBODY}")
    with send_traces("service", {}, enabled=True):
        start_span("delivery").end()
        started = time.perf_counter()
    assert time.perf_counter() - started < 10  # the limit is 3 s, the timeout of one export 10 s


def test_histogram_has_the_trace_as_exemplar_in_openmetrics_only(collector: Collector) -> None:
    histogram = Histogram("things_seconds", "Things.", ("name",), (1.0,))
    with send_traces("workers", {}, enabled=True):
        histogram.observe(("outside",), 0.5)
        with start_span("attempt", parent=TRACEPARENT):
            histogram.observe(("a",), 0.5)
            histogram.observe(("a",), 0.6)
    histogram.observe(("a",), 0.7)
    assert collector.spans
    (exemplar,) = [sample.exemplar for sample in collect(histogram).samples if sample.exemplar]
    assert (exemplar.labels, exemplar.value) == ({"trace_id": TRACEPARENT[3:35]}, 0.6)


async def test_page_is_openmetrics_if_the_client_accepts_it() -> None:
    async def sample() -> None:
        raise TimeoutError

    page = MetricsPage("service", sample, 1)  # type: ignore[arg-type]
    text, plain = await page.render("text/plain")
    openmetrics, content_type = await page.render("application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
    assert plain.startswith("text/plain; version=0.0.4")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert b"# EOF" not in text
    assert openmetrics.endswith(b"# EOF\n")
