"""Traces of real processes, received by a real collector: one trace from the sender to the target."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import Request, urlopen

import pytest
from msgspec import Struct, structs
from prometheus_client.openmetrics.parser import text_string_to_metric_families  # pyright: ignore[reportUnknownVariableType]

from service.dev.demo import wait_until
from service.dev.demo_scenario import changed_order, customer, fetch_path, purchase_order
from service.dev.demo_senders import call, send
from service.dev.processes import ChildProcess
from service.dev.sandbox_client import FaultRequest, SandboxClient
from service.dev.stack import Stack, open_stack
from service.dev.workspace import make_workspace
from tests.observability.material import LineValidator
from tests.service.tracing.collector import Collector, ReceivedSpan, running_collector

SECONDS_MAX = 60.0
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE_ID, SENDER_SPAN_ID = TRACEPARENT.split("-")[1:3]
PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "trace-events.md"
WRITTEN = dict(re.findall(r"^ +([A-Z_]+)=(\S+)$", PAGE.read_text(), re.MULTILINE))
"""Variables of the how-to page, with which the processes of these tests run."""
SETTINGS = {
    "traces": WRITTEN["WAYBILL_TRACES"],
    "port": "0",
    "admin_port": "0",
    "backoff_base_seconds": "0.2",
    "backoff_seconds_max": "1",
    "wake_timeout_seconds": "1",
}

POLLED_SOURCE = """\
  flow-poll:
    platform: flow
    poll: {every: 1s, record: customer, existing: ingest}
"""

pytestmark = pytest.mark.slow


class Installation(Struct):
    stack: Stack
    worker: ChildProcess
    collector: Collector

    def send(self, order_id: str, **headers: str) -> str:
        """Send a delivery about a new order, wait for the end of its event, and return the event id."""
        SandboxClient(self.stack.sandbox_url).put_record(purchase_order(order_id, 100, 40))
        request = changed_order(self.stack.workspace.secrets, order_id, f"evt-{order_id}")
        answer = send(self.stack.service_url, structs.replace(request, headers={**request.headers, **headers}))
        assert answer.status == 202, answer
        event_id = str(answer.body["event_id"])
        self.worker.wait_for(lambda line: line.get("event_id") == event_id and _is_end(line), SECONDS_MAX)
        return event_id

    def spans(self, name: str, count: int = 1, **attributes: object) -> list[ReceivedSpan]:
        """Wait until the collector has so many spans of a name, and return them."""
        wait_until(lambda: len(self.collector.named(name, **attributes)) >= count, SECONDS_MAX, f"spans {name}")
        return self.collector.named(name, **attributes)

    def lines(self) -> list[dict[str, Any]]:
        return [*self.stack.ingress.lines(), *self.worker.lines()]


def _is_end(line: dict[str, Any]) -> bool:
    return line["message"] == "attempt.finished" and line["outcome"] in {"matched", "unmatched"}


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    with TemporaryDirectory(prefix="wb-", ignore_cleanup_errors=True) as directory, running_collector() as collector:
        assert WRITTEN.keys() == {"WAYBILL_TRACES", "OTEL_EXPORTER_OTLP_ENDPOINT"}
        endpoint = WRITTEN["OTEL_EXPORTER_OTLP_ENDPOINT"].replace("http://127.0.0.1:4318", collector.url)
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        with open_stack(make_workspace(Path(directory)), {**os.environ, **variables}, SETTINGS) as stack:
            worker = stack.start_worker("worker-1")
            yield Installation(stack, worker, collector)


def test_one_trace_leads_from_the_sender_to_the_target(installation: Installation) -> None:
    event_id = installation.send("po-traced", traceparent=TRACEPARENT)
    (delivery,) = installation.spans("delivery", event_id=event_id)
    (attempt,) = installation.spans("attempt", event_id=event_id)
    (waited,) = installation.spans("queue wait", event_id=event_id)
    spans = [span for span in installation.collector.spans if span.trace_id == TRACE_ID]
    names = {"delivery": 1, "queue wait": 1, "attempt": 1, "fetch": 1, "decision": 1, "effect": 2}
    assert Counter(span.name for span in spans) == names
    (fetch,), (decision,) = ([span for span in spans if span.name == name] for name in ("fetch", "decision"))
    (effect,) = [span for span in spans if span.attributes.get("waybill.action_type") == "http"]
    assert delivery.parent_id == SENDER_SPAN_ID
    assert waited.parent_id == attempt.parent_id == delivery.span_id
    assert {fetch.parent_id, decision.parent_id, effect.parent_id} == {attempt.span_id}
    assert delivery.start_ns <= attempt.start_ns <= fetch.start_ns <= decision.start_ns <= effect.start_ns
    assert effect.end_ns <= attempt.end_ns
    statuses = [span.attributes["http.response.status_code"] for span in (delivery, fetch)]
    assert statuses == [202, 200]
    assert attempt.attributes["waybill.outcome"] == "matched"
    assert decision.attributes["waybill.rules.matched"] == [effect.attributes["waybill.rule_id"]]
    sink = call("GET", f"{installation.stack.sandbox_url}/_sandbox/sink").body["requests"]
    (headers,) = [request["headers"] for request in sink if "po-traced" in request["body"]]
    assert headers["traceparent"] == f"00-{TRACE_ID}-{effect.span_id}-01"


def test_log_lines_have_the_ids_of_their_spans(installation: Installation) -> None:
    event_id = installation.send("po-lines")
    (attempt,) = installation.spans("attempt", event_id=event_id)
    installation.spans("delivery", event_id=event_id)  # another process sends it, perhaps later
    installation.stack.ingress.wait_for(lambda line: line.get("event_id") == event_id, SECONDS_MAX)
    spans = [span for span in installation.collector.spans if span.trace_id == attempt.trace_id]
    lines = [line for line in installation.lines() if line.get("event_id") == event_id]
    expected = {"delivery.received": "delivery", "record.fetched": "fetch", "attempt.finished": "attempt"}
    for message, name in expected.items():
        (line,), (span,) = [each for each in lines if each["message"] == message], [s for s in spans if s.name == name]
        assert (line["trace_id"], line["span_id"]) == (span.trace_id, span.span_id), message
    effects = {span.attributes["waybill.action_id"]: span.span_id for span in spans if span.name == "effect"}
    logged = {line["action_id"]: line["span_id"] for line in lines if line["message"] == "action.finished"}
    assert logged == effects
    assert len(effects) == 2
    assert LineValidator().errors(installation.lines()) == []


def test_every_attempt_of_an_event_is_in_its_trace(installation: Installation) -> None:
    SandboxClient(installation.stack.sandbox_url).add_fault(FaultRequest(fetch_path("po-flaky"), status=500))
    event_id = installation.send("po-flaky")
    first, second = sorted(installation.spans("attempt", 2, event_id=event_id), key=lambda span: span.start_ns)
    assert first.trace_id == second.trace_id
    assert (first.attributes["waybill.outcome"], first.is_error) == ("retried", True)
    assert (second.attributes["waybill.outcome"], second.is_error) == ("matched", False)
    (failed,) = [span for span in installation.spans("fetch", 2) if span.parent_id == first.span_id]
    assert (failed.is_error, failed.attributes["error.type"]) == (True, "platform_unavailable")


def test_unverified_delivery_has_no_span(installation: Installation) -> None:
    request = changed_order(installation.stack.workspace.secrets, "po-forged", "forged")
    trace_id = "1" * 32
    headers = {**request.headers, "traceparent": f"00-{trace_id}-{'2' * 16}-01"}
    forged = structs.replace(request, body=request.body + b" ", headers=headers)
    assert send(installation.stack.service_url, forged).status == 401
    event_id = installation.send("po-after")
    assert installation.spans("delivery", event_id=event_id)  # ended later, so spans of the forged one were sent
    assert trace_id not in {span.trace_id for span in installation.collector.spans}


def test_polled_event_has_a_trace_that_begins_with_the_poll(installation: Installation) -> None:
    workspace = installation.stack.workspace
    polling = workspace.directory / "polling.yaml"
    polling.write_text(workspace.config.read_text().replace("\nsources:\n", f"\nsources:\n{POLLED_SOURCE}"))
    SandboxClient(installation.stack.sandbox_url).put_record(customer("c-polled"))
    worker = installation.stack.start("worker-poll", "worker", admin_port="0", config=str(polling))
    try:
        (poll, *_) = installation.spans("poll", source="flow-poll")
        attempts = installation.spans("attempt", source="flow-poll")
    finally:
        worker.stop(SECONDS_MAX)
    assert {span.trace_id for span in attempts} <= {span.trace_id for span in installation.collector.named("poll")}
    assert poll.parent_id == ""


def test_histograms_of_both_processes_have_exemplars(installation: Installation) -> None:
    installation.send("po-measured")
    started = next(line for line in installation.worker.lines() if line["message"] == "process.started")
    urls = (installation.stack.admin_url, f"http://127.0.0.1:{started['admin_port']}")
    for url, name in zip(urls, ("waybill_delivery_ack_seconds", "waybill_attempt_seconds"), strict=True):
        families = {each.name: each for each in text_string_to_metric_families(read_openmetrics(f"{url}/metrics"))}
        assert any(sample.exemplar for sample in families[name].samples), name
        assert "waybill_spans" in families


def read_openmetrics(url: str) -> str:
    request = Request(url, headers={"Accept": "application/openmetrics-text; version=1.0.0"})  # noqa: S310 - our address
    with urlopen(request, timeout=SECONDS_MAX) as answer:  # noqa: S310 - as above
        return answer.read().decode()
