"""Traffic on a real installation: two senders, two workers, and failures of a platform and of a target."""

import random
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from service.dev.demo_scenario import changed_order, customer, purchase_order
from service.dev.demo_senders import DeliveryRequest, call, send, with_basic
from service.dev.processes import ChildProcess
from service.dev.sandbox_client import SandboxClient
from service.dev.stack import Stack, open_stack, reload_after
from service.dev.workspace import FLOW_PASSWORD, FLOW_TENANT, FLOW_USER, make_workspace
from tests.waiting import PATIENCE_SECONDS

DELIVERIES_PER_SECOND = 12
ORDERS, CUSTOMERS = 400, 100
ORDERS_SHARE = 0.95  # of the deliveries; Slack admits one message per second
SETTINGS = {
    "port": "0",
    "admin_port": "0",
    "sample_interval_seconds": "2",
    "backoff_base_seconds": "1",
    "backoff_seconds_max": "5",
}
DESTINATIONS = """
destinations:
  erp: {kind: http, url: "SANDBOX/_sandbox/sink", allow_private_host: true}
  warehouse: {kind: http, url: "SANDBOX/_sandbox/sink", allow_private_host: true}
"""
RULES = """\
- id: changed-order
  name: Send each changed order to the warehouse
  type: purchase_order
  sources: [pack-orders]
  actions:
    - {id: send, do: http, destination: warehouse, path: /warehouse, body: {order: "{id}"}}
- id: large-order
  name: Send orders of many units to the ERP
  type: purchase_order
  sources: [pack-orders]
  when: {any_of: lines, where: {field: quantity_ordered, op: gt, value: 40}}
  actions:
    - {id: send, do: http, destination: erp, path: /erp, body: {order: "{id}"}}
- id: urgent-order
  name: Compare a value that no order has
  type: purchase_order
  sources: [pack-orders]
  when: {field: raw.priority, op: eq, value: high}
  actions:
    - {id: note, do: log, message: "{id} is urgent"}
"""


@contextmanager
def open_installation(folder: Path) -> Generator[tuple[Stack, list[ChildProcess]]]:
    """Start an installation with named destinations and two workers."""
    with open_stack(make_workspace(folder), {}, SETTINGS) as stack:
        config = stack.workspace.config
        text = DESTINATIONS.replace("SANDBOX", stack.sandbox_url)
        config.write_text(config.read_text().replace("\ndestinations:\n", text))
        (folder / "rules" / "boards.yaml").write_text(RULES)
        stack.ingress.wait_for(reload_after(config), PATIENCE_SECONDS)
        stack.publish_rules()
        yield stack, [stack.start_worker(f"worker-{number}") for number in range(2)]


class Traffic:
    """Senders of one installation."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._secrets = stack.workspace.secrets
        self._sandbox = SandboxClient(stack.sandbox_url)
        self._random = random.Random(4)
        self._number = 0

    def run(self, seconds: float) -> None:
        """Send deliveries at a steady rate. The failures begin at fixed shares of the time."""
        for number in range(CUSTOMERS):
            self._sandbox.put_record(customer(f"c-{number}"))
        begin = time.monotonic()
        failures = self._failures(seconds)
        while (passed := time.monotonic() - begin) < seconds:
            while failures and failures[0][0] <= passed:
                failures.pop(0)[1]()
            self._send_one()
            time.sleep(max(self._number / DELIVERIES_PER_SECOND - (time.monotonic() - begin), 0))

    def _failures(self, seconds: float) -> list[tuple[float, Callable[[], None]]]:
        return [
            (0.2 * seconds, lambda: self._fault("/_sandbox/sink/erp", 503, times=12)),
            (0.45 * seconds, lambda: self._fault("/pack_cloud/", 429, retry_after=20)),
            (0.7 * seconds, lambda: self._fault("/flow_retail/", 422, times=3)),
            (0.8 * seconds, lambda: self._fault("/pack_cloud/", 500, times=30)),
        ]

    def _fault(self, match: str, status: int, **more: int) -> None:
        fault = msgspec.json.encode({"match": match, "status": status, **more})
        call("POST", f"{self._stack.sandbox_url}/_sandbox/faults", body=fault)

    def _send_one(self) -> None:
        self._number += 1
        request = self._order() if self._random.random() < ORDERS_SHARE else self._till()
        send(self._stack.service_url, request)
        if self._random.random() < 0.03:
            send(self._stack.service_url, request)  # a duplicate

    def _order(self) -> DeliveryRequest:
        key = f"po-{self._random.randrange(ORDERS)}"
        units = 1 + self._random.randrange(60)
        self._sandbox.put_record(purchase_order(key, units, min(units, 50)))
        request = changed_order(self._secrets, key, f"evt-{self._number}")
        if self._random.random() < 0.02:
            return DeliveryRequest(request.source, {"X-Signature": "0" * 64}, request.body)
        return request

    def _till(self) -> DeliveryRequest:
        person = {"Id": 7, "Uid": f"c-{self._random.randrange(CUSTOMERS)}"}
        payload = {"action": "CUSTOMER_UPDATE", "tenant": {"Id": 1, "Uid": FLOW_TENANT}, "customer": person}
        return with_basic("flow-till", payload, FLOW_USER, self._secrets[FLOW_PASSWORD])
