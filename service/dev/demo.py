"""The demonstration: real deliveries over HTTP to real processes, a worker killed half-way, and a check of every fate.

What became of an event is read where an operator would read it, in the services' log lines, and at the other end, in
what the sandbox's sink received.
"""

import time
from collections.abc import Callable, Sequence

from service.dev.demo_output import DemoReport, DemoResult
from service.dev.demo_scenario import DemoStep, ExpectedOutcome, build_steps, build_warm_up
from service.dev.demo_senders import DeliveryResponse, send
from service.dev.processes import POLL_SECONDS, LogLine, SubprocessFailed
from service.dev.sandbox_client import SandboxClient
from service.dev.stack import Stack

END_SECONDS_MAX = 15.0
FETCH_SECONDS_MAX = 5.0
OPEN_OUTCOMES = frozenset({"retried", "deferred", "released", "lost"})
"""Outcomes of an attempt after which another one follows."""


class Demo:
    """Plays the acts on a running stack with one worker."""

    def __init__(self, stack: Stack, report: DemoReport) -> None:
        self._stack = stack
        self._report = report
        self._switches = SandboxClient(stack.sandbox_url)
        self._workers = [stack.start_worker("worker-1")]

    def run(self) -> list[DemoResult]:
        """Send everything, wait for every end, and give each act with what was seen.

        Raises:
            SubprocessFailed: an event did not end in time, or a process did.
        """
        self._warm_up()
        acts = build_steps(self._stack.workspace.secrets)
        answers = [self._act(number, act) for number, act in enumerate(acts, 1)]
        received = self._switches.sink_bodies()
        return [DemoResult(act, self._seen(act, answer, received)) for act, answer in zip(acts, answers, strict=True)]

    def _warm_up(self) -> None:
        """Process one event that is not shown."""
        self._deliver(build_warm_up(self._stack.workspace.secrets))
        for child in (self._stack.ingress, *self._workers):
            child.new_lines()

    def _act(self, number: int, act: DemoStep) -> DeliveryResponse:
        self._report.start_step(number, act.title)
        answer = self._deliver(act)
        self._report.show_new_lines([self._stack.ingress, *self._workers])
        return answer

    def _deliver(self, act: DemoStep) -> DeliveryResponse:
        """Send the delivery of an act, and wait for its end."""
        self._prepare(act)
        received = self._received()
        answer = send(self._stack.service_url, act.request)
        if act.kills_worker:
            self._kill_in_the_middle()
        if answer.status < 300:
            event_id = str(answer.body["event_id"])
            wait_until(lambda: self._end(event_id) is not None, END_SECONDS_MAX, f"the end of event {event_id}")
        wait_until(lambda: self._received() > received, END_SECONDS_MAX, "the delivery's line")  # it follows the answer
        return answer

    def _prepare(self, act: DemoStep) -> None:
        if act.seed:
            self._switches.put_record(act.seed)
        if act.gone:
            self._switches.delete_record("pack_cloud", "purchase_order", act.record_id)
        if act.fault:
            self._switches.add_fault(act.fault)

    def _kill_in_the_middle(self) -> None:
        """SIGKILL the only worker while the platform lets it wait, then start another."""
        victim = self._workers[-1]
        wait_until(lambda: self._switches.faults_waiting() == 0, FETCH_SECONDS_MAX, "the worker's fetch")
        self._report.show_new_lines([self._stack.ingress])
        victim.kill()
        self._report.print(f"   {victim.name} is processing the event and waits for the platform: SIGKILL")
        successor = self._stack.start_worker(f"worker-{len(self._workers) + 1}")
        self._workers.append(successor)
        self._report.print(f"   {successor.name} has started, and takes over when the lease of {victim.name} ends")

    def _received(self) -> int:
        return sum(line.get("message") == "delivery.received" for line in self._stack.ingress.lines())

    def _end(self, event_id: str) -> LogLine | None:
        """Give the line of the attempt that ended the event, whichever worker wrote it."""
        lines = (line for worker in self._workers for line in worker.lines())
        return next((line for line in lines if _ends(line) and line.get("event_id") == event_id), None)

    def _seen(self, act: DemoStep, answer: DeliveryResponse, received: Sequence[str]) -> ExpectedOutcome:
        if answer.status >= 300:
            return ExpectedOutcome(f"{answer.status} {answer.body.get('code')}")
        end = self._end(str(answer.body["event_id"])) or {}
        calls = sum(f'"{act.record_id}"' in body for body in received)
        return ExpectedOutcome(
            f"{answer.status} {answer.body['status']}", str(end.get("outcome")), int(end.get("attempt", 0)), calls
        )


def wait_until(true: Callable[[], bool], seconds_max: float, what: str) -> None:
    """Look again and again.

    Raises:
        SubprocessFailed: it did not come true in time.
    """
    deadline = time.monotonic() + seconds_max
    while not true():
        if time.monotonic() > deadline:
            raise SubprocessFailed(f"waited {seconds_max} s in vain for {what}")
        time.sleep(POLL_SECONDS)


def _ends(line: LogLine) -> bool:
    return line.get("message") == "attempt.finished" and line.get("outcome") not in OPEN_OUTCOMES
