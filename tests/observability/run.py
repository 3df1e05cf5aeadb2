"""Run of all processes with all configurable failures, and the counts of the sender.

The processes are those of the demo: a real store, sandbox, ingress and workers. Tests validate their log lines, search
them for secrets and personal data, and insert them into a log store.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen

import msgspec
import redis
from arq import create_pool
from arq.connections import RedisSettings
from msgspec import Struct, field, structs

from service.dev.demo import Demo, wait_until
from service.dev.demo_output import DemoReport
from service.dev.demo_scenario import build_warm_up, changed_order, customer, fetch_path, purchase_order
from service.dev.demo_senders import DeliveryRequest, DeliveryResponse, call, send, signed_by_hmac, with_basic
from service.dev.embedded_valkey import start_valkey
from service.dev.processes import ChildProcess
from service.dev.sandbox_client import FaultRequest, SandboxClient, Seed
from service.dev.stack import Stack, open_stack
from service.dev.workspace import FLOW_PASSWORD, FLOW_TENANT, FLOW_USER, PACK_ORGANIZATION, PACK_SECRET, make_workspace
from service.settings import Settings, load_settings
from service.store import build_shards
from service.store.shards import shard_settings
from tests.observability.material import PERSONAL, Line, read_lines

SECONDS_MAX = 60.0
HOME = shard_settings(Settings(), 0).key_prefix
"""Prefix of the keys of the first shard."""
TIMES_AHEAD_EVENTS_MAX = 20
SETTINGS = {
    "port": "0",
    "admin_port": "0",
    "lease_seconds": "2",
    "backoff_base_seconds": "0.2",
    "backoff_seconds_max": "1",
    "stale_read_wait_seconds": "1",
    "sample_interval_seconds": "0.5",
    "sweep_interval_seconds": "0.5",
    "wake_timeout_seconds": "1",
    "drain_timeout_seconds": "1",
    "store_timeout_seconds": "1",
    "ingest_timeout_seconds": "2",
    "quarantine_deliveries_max": "2",
    "address_rejections_per_second_max": "4",
}

PERSONAL_RULES = """\
- id: greet
  name: Log all personal data of a customer
  type: customer
  sources: [flow-till]
  actions:
    - {id: say, do: log, message: "{first_name} {last_name} {company_name} {email} {phone} {billing_address.street}"}
- id: stuck
  name: Call a system that rejects the request
  type: customer
  sources: [flow-till]
  when: {field: type, op: eq, value: STUCK}
  actions:
    - {id: tell, do: http, url: "SINK/stuck?who={email}", headers: {X-Who: "{id}"}, body: {who: "{email}"}}
- id: compare
  name: Compare with a record that the rule looks up
  type: customer
  sources: [flow-till]
  with: {other: {kind: customer, id: "{id}"}}
  when: {all: [{field: type, op: eq, value: STUCK}, {field: other.type, op: ne, value: STUCK}]}
- id: incomplete
  name: Insert a value that the record has not
  type: customer
  sources: [flow-till]
  when: {field: type, op: eq, value: INCOMPLETE}
  actions:
    - {id: tell, do: http, url: "SINK/{raw.nothing}"}
"""

UNVERIFIED_SOURCE = """\
  anyone:
    platform: pack
    verify: {scheme: none}
    allow_unverified: true
"""
"""Source that causes a warning at startup."""

POLLED_SOURCE = """\
  flow-poll:
    platform: flow
    poll: {every: 1s, record: customer}
"""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
CORRELATION_ID = "cart-4711"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Run(Struct):
    """Result of a run: all lines, the output of each process, and the requests and responses."""

    lines: list[Line] = field(default_factory=list[Line])
    outputs: dict[str, bytes] = field(default_factory=dict[str, bytes])
    errors: dict[str, bytes] = field(default_factory=dict[str, bytes])
    answers: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    """Number of deliveries by source and response."""
    secrets: Sequence[str] = ()
    bodies: list[bytes] = field(default_factory=list[bytes])
    pages: dict[str, str] = field(default_factory=dict[str, str])
    """Metrics page of each pod, before the store was broken."""

    def of(self, event: str, **fields: object) -> list[Line]:
        """Return the lines of an event with these fields."""
        expected = fields.items()
        return [
            line
            for line in self.lines
            if line["message"] == event and all(line.get(name) == value for name, value in expected)
        ]


def execute_run() -> Run:
    """Run all scenarios, stop all processes, and return the result."""
    run = Run()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("WAYBILL_")}
    with TemporaryDirectory(prefix="wb-", ignore_cleanup_errors=True) as directory:
        with open_stack(make_workspace(Path(directory)), environ, SETTINGS) as stack:
            run.secrets = list(stack.workspace.secrets.values())
            Scenarios(stack, run).play()
            children = list(stack.children)
        for child in children:
            run.outputs[child.name], run.errors[child.name] = child.output.read_bytes(), child.errors.read_bytes()
        odd = _run_rare_failures(Path(directory))
        run.outputs["odd"], run.errors["odd"] = odd.stdout, odd.stderr
    run.outputs.pop("sandbox")  # a development tool, which prints its address
    run.lines = [line for output in run.outputs.values() for line in read_lines(output)]
    return run


def _run_rare_failures(directory: Path) -> "subprocess.CompletedProcess[bytes]":
    server = start_valkey(directory / "odd")
    try:
        command = [sys.executable, "-m", "tests.observability.rare_failures", server.url]
        return subprocess.run(command, capture_output=True, check=False, timeout=60)
    finally:
        server.stop()


class Scenarios:
    """Scenarios on a running stack, in an order in which they do not disturb each other."""

    def __init__(self, stack: Stack, run: Run) -> None:
        self.stack = stack
        self.run = run
        self.switches = SandboxClient(stack.sandbox_url)
        self.secrets = stack.workspace.secrets

    def play(self) -> None:
        rows = Demo(self.stack, DemoReport()).run()
        self._count(build_warm_up(self.secrets).request, "queued")
        for row in rows:
            self._count(row.step.request, row.actual.answer.split(" ")[1])
        self.worker = self.stack.children[-1]
        self.send_personal_data()
        self.send_hints_and_late_records()
        self.read_stale_states()
        self.miss_records()
        self.open_a_circuit()
        self.start_misconfigured_processes()
        self.lose_lease()
        self.poll()
        self.make_store_inconsistent()
        self.store_metrics_pages()
        self.publish_invalid_rulebook()
        self.change_configuration()
        self.reduce_durability()
        self.lose_store()
        self.damage_keys()
        self.kill_store()
        self.exhaust_connections()
        self.flood()
        self.end()

    def send_personal_data(self) -> None:
        """Process customers with personal data; platforms and targets repeat it in errors."""
        rules = PERSONAL_RULES.replace("SINK", f"{self.stack.sandbox_url}/_sandbox/sink")
        (self.stack.workspace.directory / "rules" / "personal.yaml").write_text(rules)
        self._run_command("rules-apply-2", "rules", "apply")
        self.worker.wait_for(lambda line: line["message"] == "rulebook.activated" and line["rules"] == 6, SECONDS_MAX)
        echo = " ".join(PERSONAL.values()) + " " + " ".join(self.secrets.values())
        self.switches.put_record(_person("c-1", "PERSON"))
        plain = self._till("c-1")
        self._send_and_wait(structs.replace(plain, body=BYTE_ORDER_MARK + plain.body), "matched")
        body = f'{{"message": "{echo}", "errors": [{{"detail": "{echo}"}}]}}'
        self.switches.put_record(_person("c-503", "PERSON"))
        for status, outcome in ((422, "dead_lettered"), (503, "matched")):
            self._fault({"match": "/flow_retail/", "status": status, "body": body})
            self._send_and_wait(self._till(f"c-{status}"), outcome)
        self.switches.put_record(_person("c-422", "STUCK"))
        self._fault({"match": "/_sandbox/sink/stuck", "status": 400, "body": echo})
        self._send_and_wait(self._till("c-422"), "dead_lettered")
        self.switches.put_record(_person("c-9", "INCOMPLETE"))
        self._send_and_wait(self._till("c-9"), "dead_lettered")

    def send_hints_and_late_records(self) -> None:
        """Send a hint with a customer, a hint without one, and an event before its record exists."""
        person = {"id": "cu-1", "first_name": PERSONAL["name"], "email": PERSONAL["email"]}
        self.switches.put_record(Seed("pack_cloud", "customer", "cu-1", person))
        for order, customer_id, outcome in (("or-1", "cu-1", "resolved"), ("or-2", None, "ignored")):
            self.switches.put_record(Seed("pack_cloud", "order", order, {"id": order, "customer_id": customer_id}))
            self._send_and_wait(self._pack("order.updated", order, f"hint-{order}"), outcome)
        self.switches.delete_record("pack_cloud", "purchase_order", "po-late")
        self._send_and_wait(self._pack("purchase_order.created", "po-late", "late"), "deferred")
        ping = self._pack("purchase_order.updated", "po-1", "traced")
        self.switches.put_record(purchase_order("po-1", 100, 40))
        traced = {
            "traceparent": TRACEPARENT,
            "X-Correlation-Id": CORRELATION_ID,
            "X-Forwarded-For": "203.0.113.7",
        }
        self._send_and_wait(structs.replace(ping, headers={**ping.headers, **traced}), "matched")
        self._send(self._pack("ping", "x", "ping"))
        self._send(
            self._pack("purchase_order.updated", "po-1", "traced", note="other")
        )  # a duplicate with other content

    def read_stale_states(self) -> None:
        """Send events whose times are ahead of their record, and one whose record is older than the last state."""
        with self._client() as client:
            self._execute(client, "SET", f"{HOME}futile:pack-orders", "2")
        number = 0
        # A fetch after the longest wait shows nothing.
        while not self.logged(self.worker, "source.times_ahead") and number < TIMES_AHEAD_EVENTS_MAX:
            ahead = self._pack("purchase_order.updated", "po-1", f"ahead-{number}", occurred_at="2026-11-21T00:00:00Z")
            self._send_and_wait(ahead, "matched")
            number += 1
        seed = purchase_order("po-1", 100, 40)
        self.switches.put_record(structs.replace(seed, record={**seed.record, "updated_at": "2026-11-19T00:00:00Z"}))
        self._send_and_wait(self._pack("purchase_order.updated", "po-1", "old"), "stale")
        self.switches.put_record(seed)

    def miss_records(self) -> None:
        """Let a platform answer 404 for several records, a few times each."""
        self._fault({"match": "/pack_cloud/", "status": 404, "times": 15})
        ids = [self._send(self._pack("purchase_order.updated", f"lost-{n}", f"lost-{n}")) for n in range(5)]
        for answer in ids:
            event_id = answer.body["event_id"]
            self.worker.wait_for(lambda line, event_id=event_id: _attempt(line, event_id, "matched"), SECONDS_MAX)

    def open_a_circuit(self) -> None:
        """Open the circuits of a platform and of a target by a 429, and wait until they close."""
        self._fault({"match": "/pack_cloud/", "status": 429, "retry_after": 1})
        self._send_and_wait(self._pack("purchase_order.updated", "po-1", "tired"), "matched")
        self.worker.wait_for(lambda line: line["message"] == "platform.circuit_closed", SECONDS_MAX)
        self._fault({"match": "/pack_cloud/", "status": 429, "retry_after": 1_000_000})
        self._send_and_wait(self._pack("purchase_order.updated", "po-1", "exhausted"), "deferred")
        self._run_command("platforms-resume", "platforms", "resume", "pack")
        self.worker.wait_for(lambda _: len(self.logged(self.worker, "platform.circuit_closed")) > 1, SECONDS_MAX)
        self._fault({"match": "/_sandbox/sink", "status": 429, "retry_after": 1})
        self._send_and_wait(self._pack("purchase_order.updated", "po-1", "busy"), "matched")
        self.worker.wait_for(lambda line: line["message"] == "destination.circuit_closed", SECONDS_MAX)

    def start_misconfigured_processes(self) -> None:
        """Start a worker without a rulebook, enqueue an unknown job, and start a process that fails."""
        alone = self.stack.start("worker-alone", "worker", admin_port="0", key_prefix="alone:")
        alone.wait_for(lambda line: line["message"] == "rulebook.missing", SECONDS_MAX)
        alone.stop()
        asyncio.run(self._enqueue_unknown_job())
        self.worker.wait_for(lambda line: line["message"] == "job.dead_lettered", SECONDS_MAX)
        taken = self.stack.service_url.rpartition(":")[2]
        careless = self.stack.workspace.directory / "careless.yaml"
        careless.write_text(
            self.stack.workspace.config.read_text().replace("\nsources:\n", f"\nsources:\n{UNVERIFIED_SOURCE}")
        )
        failing = self.stack.start("service-2", "serve", port=taken, config=str(careless))
        assert failing.process.wait(SECONDS_MAX) == 2

    def lose_lease(self) -> None:
        """Suspend a worker during a fetch, and resume it when another worker has its job."""
        self.switches.put_record(purchase_order("po-slow", 60, 12))
        self.switches.add_fault(FaultRequest(fetch_path("po-slow"), delay_ms=60_000))
        event_id = self._send(changed_order(self.secrets, "po-slow", "slow")).body["event_id"]
        wait_until(lambda: self.switches.pending_fault_count() == 0, SECONDS_MAX, "the fetch")
        os.kill(self.worker.process.pid, signal.SIGSTOP)
        second = self.stack.start_worker("worker-9")
        second.wait_for(lambda line: _attempt(line, event_id, "matched"), SECONDS_MAX)
        os.kill(self.worker.process.pid, signal.SIGCONT)
        self.worker.wait_for(lambda line: line["message"] == "lease.lost", SECONDS_MAX)
        second.stop()

    def poll(self) -> None:
        """Poll a list: once with success, once with a 403, once with a lost lease."""
        polling = self.stack.workspace.directory / "polling.yaml"
        polling.write_text(
            self.stack.workspace.config.read_text().replace("\nsources:\n", f"\nsources:\n{POLLED_SOURCE}")
        )
        worker = self.stack.start("worker-poll", "worker", admin_port="0", config=str(polling))
        worker.wait_for(lambda line: line["message"] == "poll.finished", SECONDS_MAX)
        self._fault({"match": f"/flow_retail/v2/tenants/{FLOW_TENANT}/customers", "status": 403})
        worker.wait_for(lambda line: line["message"] == "poll.interrupted", SECONDS_MAX)
        self._fault({"match": f"/flow_retail/v2/tenants/{FLOW_TENANT}/customers", "delay_ms": 500})
        wait_until(lambda: self.switches.pending_fault_count() == 0, SECONDS_MAX, "the list")
        with self._client() as client:
            self._execute(client, "DEL", f"{HOME}poll:flow-poll:lock")
        worker.wait_for(lambda line: line["message"] == "poll.lease_lost", SECONDS_MAX)
        worker.stop(SECONDS_MAX)

    def make_store_inconsistent(self) -> None:
        """Create inconsistent and expired keys, and wait for the sweep."""
        with self._client() as client:
            for number, key in enumerate(("open", "ended", "dead")):
                score = int(time.time() * 1000) if key == "open" else 0
                self._execute(client, "ZADD", HOME + key, str(score), str(number) * 32)
        for name in ("open_without_bytes", "ended_expired", "dead_letters_expired"):
            wait_until(lambda: any(name in line for line in self.logged(self.worker, "store.swept")), SECONDS_MAX, name)  # noqa: B023 - called at once

    def store_metrics_pages(self) -> None:
        """Store the metrics pages of both pods."""
        started = next(line for line in self.worker.lines() if line["message"] == "process.started")
        for name, port in (("service", self.stack.admin_url.rpartition(":")[2]), ("workers", started["admin_port"])):
            self.run.pages[name] = _get(f"http://127.0.0.1:{port}/metrics")

    def publish_invalid_rulebook(self) -> None:
        """Publish a rulebook that no worker can load."""
        asyncio.run(self._publish_invalid_document())
        self.worker.wait_for(lambda line: line["message"] == "rulebook.rejected", SECONDS_MAX)

    def change_configuration(self) -> None:
        """Write a mistake into waybill.yaml, and correct it."""
        path = self.stack.workspace.config
        valid = path.read_text()
        processes = (self.stack.ingress, self.worker)
        for text, event in ((f"{valid}\nmistake: 1\n", "config.rejected"), (f"{valid}\n", "config.reloaded")):
            path.write_text(text)
            for process in processes:
                process.wait_for(lambda line: line["message"] == event, SECONDS_MAX)  # noqa: B023 - called at once

    def flood(self) -> None:
        """Send more unverified deliveries than the rate limit and the quarantine allow."""
        forged = DeliveryRequest(
            "pack-orders", {"X-Signature": "0" * 64}, b'{"who": "%s"}' % PERSONAL["email"].encode()
        )
        for _ in range(40):
            self._send(forged)
            if self.logged(self.stack.ingress, "delivery.rate_limited") and self.logged(
                self.stack.ingress, "quarantine.full"
            ):
                break
        wait_until(lambda: bool(self.logged(self.stack.ingress, "delivery.rate_limited")), SECONDS_MAX, "the throttle")

    def reduce_durability(self) -> None:
        """Reduce the durability of the store temporarily."""
        with self._client() as client, self._repeated("store.recovered"):
            self._execute(client, "CONFIG", "SET", "appendfsync", "everysec")
            self._execute(client, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            self.stack.ingress.wait_for(lambda line: line["message"] == "store.not_durable", SECONDS_MAX)
            self._execute(client, "CONFIG", "SET", "appendfsync", "always")
            self._execute(client, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def lose_store(self) -> None:
        """Empty the store of its installation record, and accept the loss."""
        with self._repeated("store.recovered"):
            with self._client() as client, self._repeated("store.lost"):
                self._execute(client, "DEL", f"{HOME}install")
            self._run_command("store-accept", "store", "accept")

    def damage_keys(self) -> None:
        """Change the type of a key that the worker uses, and of one that only the ingress uses."""
        with self._client() as client:
            for key in (f"{HOME}ended", f"{HOME}quarantine:flow-till:unverified"):
                self._execute(client, "SET", key, "rubbish")
        self._send(DeliveryRequest("flow-till", {"Authorization": "Basic eDp5"}, b"{}"))
        for process in (self.stack.ingress, self.worker):
            process.wait_for(lambda line: line["message"] == "store.key_damaged", SECONDS_MAX)
        self.worker.wait_for(lambda line: "index_rebuilt" in line, SECONDS_MAX)

    def kill_store(self) -> None:
        """Kill the store during an effect, and restart it: the result of the effect arrives late."""
        store = self.stack.store
        assert store
        self.switches.put_record(purchase_order("po-dark", 60, 12))
        self.switches.add_fault(FaultRequest("/_sandbox/sink/erp", delay_ms=500))
        self._send(changed_order(self.secrets, "po-dark", "dark"))
        wait_until(lambda: self.switches.pending_fault_count() == 0, SECONDS_MAX, "the effect")
        with self._repeated("store.recovered"):
            with self._repeated("store.unavailable"):
                store.kill()
            self.worker.wait_for(lambda line: line["message"] == "store.unavailable" and "job" in line, SECONDS_MAX)
            self._send(changed_order(self.secrets, "po-dark", "dark-2"))
            self._send(DeliveryRequest("flow-till", {"Authorization": "Basic eDp5"}, b"{}"))
            self.stack.ingress.wait_for(lambda line: line["message"] == "quarantine.failed", SECONDS_MAX)
            self.stack.store = start_valkey(self.stack.workspace.data)
        self.worker.wait_for(lambda line: line["message"] == "late_result.finished", SECONDS_MAX)
        self._send_and_wait(changed_order(self.secrets, "po-1", "after"), "matched")

    def exhaust_connections(self) -> None:
        """Open more connections than a process accepts."""
        service = self.stack.start("service-3", "serve", port="0", admin_port="0", connections_max="2")
        service.wait_for(lambda line: line["message"] == "process.started", SECONDS_MAX)
        port = next(line["port"] for line in service.lines() if line["message"] == "process.started")
        with ExitStack() as stack:
            for _ in range(4):
                stack.enter_context(socket.create_connection(("127.0.0.1", port), SECONDS_MAX))
            service.wait_for(lambda line: line["message"] == "connections.exhausted", SECONDS_MAX)
        service.stop(SECONDS_MAX)

    def _run_command(self, name: str, *arguments: str) -> None:
        """Run a command of an operator. It logs its changes to the standard error."""
        child = self.stack.start(name, *arguments)
        assert child.process.wait(SECONDS_MAX) == 0
        self.stack.children.remove(child)
        self.run.outputs[name] = child.errors.read_bytes()

    @contextmanager
    def _repeated(self, event: str) -> Generator[None]:
        """Wait after the block until each process has logged the event once more."""
        before = {child: len(self.logged(child, event)) for child in (self.stack.ingress, self.worker)}
        yield
        for child, count in before.items():
            wait_until(lambda: len(self.logged(child, event)) > count, SECONDS_MAX, event)  # noqa: B023 - called at once

    def end(self) -> None:
        """Stop all processes in order, the worker during an attempt."""
        self.switches.put_record(purchase_order("po-last", 60, 12))
        self.switches.add_fault(FaultRequest(fetch_path("po-last"), delay_ms=60_000))
        self._send(changed_order(self.secrets, "po-last", "last"))
        wait_until(lambda: self.switches.pending_fault_count() == 0, SECONDS_MAX, "the fetch")
        for child in (self.stack.ingress, self.worker):
            child.stop(SECONDS_MAX)
        if self.stack.store:
            self.stack.store.stop()

    def logged(self, child: ChildProcess, event: str) -> list[Line]:
        return [line for line in child.lines() if line["message"] == event]

    def _till(self, uid: str) -> DeliveryRequest:
        payload = {
            "action": "CUSTOMER_UPDATE",
            "tenant": {"Id": 1, "Uid": FLOW_TENANT},
            "customer": {"Id": 7, "Uid": uid, "name": PERSONAL["name"]},
        }
        return with_basic("flow-till", payload, FLOW_USER, self.secrets[FLOW_PASSWORD])

    def _pack(self, code: str, record_id: str, event: str, **more: str) -> DeliveryRequest:
        payload: Mapping[str, Any] = {"event_code": code, "id": event, "organization_id": PACK_ORGANIZATION, **more}
        return signed_by_hmac("pack-orders", {**payload, "data": {"id": record_id}}, self.secrets[PACK_SECRET])

    def _send(self, request: DeliveryRequest) -> DeliveryResponse:
        answer = send(self.stack.service_url, request)
        self._count(request, str(answer.body.get("code") or answer.body["status"]))
        return answer

    def _count(self, request: DeliveryRequest, word: str) -> None:
        self.run.answers[request.source, word] += 1
        self.run.bodies.append(request.body)

    def _send_and_wait(self, request: DeliveryRequest, outcome: str) -> None:
        event_id = self._send(request).body["event_id"]
        self.worker.wait_for(lambda line: _attempt(line, event_id, outcome), SECONDS_MAX)

    def _fault(self, fault: Mapping[str, Any]) -> None:
        answer = call("POST", f"{self.stack.sandbox_url}/_sandbox/faults", body=msgspec.json.encode(fault))
        assert answer.status < 300, answer

    def _client(self) -> "redis.Redis":
        return redis.Redis(unix_socket_path=self.stack.environ["WAYBILL_REDIS_URL"].removeprefix("unix://"))

    def _execute(self, client: "redis.Redis", *command: str) -> None:
        client.execute_command(*command)  # pyright: ignore[reportUnknownMemberType] - incomplete types of redis-py

    async def _enqueue_unknown_job(self) -> None:
        path = self.stack.environ["WAYBILL_REDIS_URL"].removeprefix("unix://")
        pool = await create_pool(RedisSettings(unix_socket_path=path), default_queue_name=f"{HOME}queue")
        await pool.enqueue_job("nobody_knows_it", PERSONAL["email"])
        await pool.aclose()

    async def _publish_invalid_document(self) -> None:
        ours = {name: value for name, value in self.stack.environ.items() if name.startswith("WAYBILL_")}
        shards = build_shards(load_settings(ours))
        rulebook = shards.home.rulebook
        assert await rulebook.publish("0123456789abcdef", b'{"format": 99}', "test", "", await rulebook.version())
        await shards.close()


def _attempt(line: Line, event_id: str, outcome: str) -> bool:
    return line["message"] == "attempt.finished" and line["event_id"] == event_id and line["outcome"] == outcome


def _person(uid: str, kind: str) -> Seed:
    first, last = PERSONAL["name"].split()
    address = {"firstname": first, "lastname": last, "address": PERSONAL["street"], "city": PERSONAL["city"]}
    personal = {
        "customerType": kind,
        "firstName": first,
        "lastName": last,
        "companyName": PERSONAL["name"],
        "email": PERSONAL["email"],
        "phoneNumber": PERSONAL["phone"],
        "billingAddress": address,
    }
    seed = customer(uid)
    return structs.replace(seed, record={**seed.record, **personal})


def _get(url: str) -> str:
    with urlopen(url, timeout=SECONDS_MAX) as answer:  # noqa: S310 - our own address
        return answer.read().decode()
