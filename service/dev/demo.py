"""Demonstration: deliveries over HTTP to real processes, a killed worker, and a check of every result.

Results are read from the log lines of the processes and from the requests that the sandbox received.
"""

import time
from collections.abc import Callable, Sequence

from service.dev.demo_output import DemoReport, DemoResult
from service.dev.demo_scenario import DemoOutcome, DemoStep, build_steps, build_warm_up
from service.dev.demo_senders import DeliveryResponse, send
from service.dev.processes import POLL_INTERVAL_SECONDS, LogLine, SubprocessFailed
from service.dev.sandbox_client import SandboxClient
from service.dev.stack import Stack

END_TIMEOUT_SECONDS = 15.0
FETCH_TIMEOUT_SECONDS = 5.0
OPEN_OUTCOMES = frozenset({"retried", "deferred", "released", "lost"})
"""Outcomes of an attempt that is not the last one."""


class Demo:
    """Run of all steps on a stack with one worker."""

    def __init__(self, stack: Stack, report: DemoReport) -> None:
        self._stack = stack
        self._report = report
        self._sandbox = SandboxClient(stack.sandbox_url)
        self._workers = [stack.start_worker("worker-1")]

    def run(self) -> list[DemoResult]:
        """Run all steps, and return each step with its result.

        Raises:
            SubprocessFailed: an event does not end in time, or a process ends.
        """
        self._warm_up()
        steps = build_steps(self._stack.workspace.secrets)
        responses = [self._run_step(number, step) for number, step in enumerate(steps, 1)]
        bodies = self._sandbox.sink_bodies()
        return [
            DemoResult(step, self._outcome(step, response, bodies))
            for step, response in zip(steps, responses, strict=True)
        ]

    def _warm_up(self) -> None:
        """Process one event without output, so that later durations do not include connection setup."""
        self._deliver(build_warm_up(self._stack.workspace.secrets))
        for process in (self._stack.ingress, *self._workers):
            process.new_lines()

    def _run_step(self, number: int, step: DemoStep) -> DeliveryResponse:
        self._report.start_step(number, step.title)
        response = self._deliver(step)
        self._report.show_new_lines([self._stack.ingress, *self._workers])
        return response

    def _deliver(self, step: DemoStep) -> DeliveryResponse:
        """Send the delivery of a step, and wait until its event has ended."""
        self._prepare(step)
        received_before = self._received_count()
        response = send(self._stack.service_url, step.request)
        if step.kills_worker:
            self._kill_worker()
        if response.status < 300:
            event_id = str(response.body["event_id"])
            wait_until(lambda: self._end(event_id) is not None, END_TIMEOUT_SECONDS, f"end of event {event_id}")
        # The log line is written after the response.
        wait_until(lambda: self._received_count() > received_before, END_TIMEOUT_SECONDS, "log line delivery.received")
        return response

    def _prepare(self, step: DemoStep) -> None:
        if step.seed:
            self._sandbox.put_record(step.seed)
        if step.deleted:
            self._sandbox.delete_record("pack_cloud", "purchase_order", step.record_id)
        if step.fault:
            self._sandbox.add_fault(step.fault)

    def _kill_worker(self) -> None:
        """Kill the only worker with SIGKILL during a slow fetch, then start another worker."""
        killed = self._workers[-1]
        wait_until(lambda: self._sandbox.pending_fault_count() == 0, FETCH_TIMEOUT_SECONDS, "fetch of the worker")
        self._report.show_new_lines([self._stack.ingress])
        killed.kill()
        self._report.print(f"   {killed.name} is fetching the record: SIGKILL")
        replacement = self._stack.start_worker(f"worker-{len(self._workers) + 1}")
        self._workers.append(replacement)
        self._report.print(f"   {replacement.name} started, takes over when the lease of {killed.name} expires")

    def _received_count(self) -> int:
        return sum(line.get("message") == "delivery.received" for line in self._stack.ingress.lines())

    def _end(self, event_id: str) -> LogLine | None:
        """Return the log line of the last attempt of an event, None if the event has not ended."""
        lines = (line for worker in self._workers for line in worker.lines())
        return next((line for line in lines if _is_last_attempt(line) and line.get("event_id") == event_id), None)

    def _outcome(self, step: DemoStep, response: DeliveryResponse, bodies: Sequence[str]) -> DemoOutcome:
        if response.status >= 300:
            return DemoOutcome(f"{response.status} {response.body.get('code')}")
        end = self._end(str(response.body["event_id"])) or {}
        calls = sum(f'"{step.record_id}"' in body for body in bodies)
        return DemoOutcome(
            f"{response.status} {response.body['status']}", str(end.get("outcome")), int(end.get("attempt", 0)), calls
        )


def wait_until(is_done: Callable[[], bool], timeout_seconds: float, name: str) -> None:
    """Poll until `is_done` returns true. `name` describes the condition in the error.

    Raises:
        SubprocessFailed: the timeout expired.
    """
    deadline = time.monotonic() + timeout_seconds
    while not is_done():
        if time.monotonic() > deadline:
            raise SubprocessFailed(f"timeout after {timeout_seconds:g} s: {name}")
        time.sleep(POLL_INTERVAL_SECONDS)


def _is_last_attempt(line: LogLine) -> bool:
    return line.get("message") == "attempt.finished" and line.get("outcome") not in OPEN_OUTCOMES
