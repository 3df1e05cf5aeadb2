"""`waybill dev` and `waybill demo`: everything on one machine, to try things by hand, and to see the promises kept."""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import click

from service.dev.demo import Demo
from service.dev.scenario import purchase_order, updated_order
from service.dev.stack import Stack, open_stack
from service.dev.story import Story
from service.dev.switches import Switches

EXIT_NOT_OK = 1
WATCH_SECONDS = 0.2
EXAMPLE_ORDER = "po-1"
EXAMPLE_SEND = f"pack-orders --event purchase_order.updated --id {EXAMPLE_ORDER}"

DEMO_SETTINGS = {
    "port": "0",
    "admin_port": "0",
    "lease_seconds": "2",
    "backoff_base_seconds": "0.2",
    "backoff_seconds_max": "1",
    "sample_interval_seconds": "5",
}
"""Short times, so that a dead worker's event is taken over while one looks on."""


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Your own waybill.yaml with its rules, instead of the example.",
)
def dev(config: Path | None) -> None:
    """Run everything on this machine until Ctrl-C.

    Starts a store, a sandbox platform, ingress and worker, and publishes the rules. What is taken in goes with it.
    """
    _end_on_sigterm()
    try:
        with (
            _directory() as directory,
            open_stack(Path(directory), os.environ, _dev_settings(os.environ), config) as stack,
        ):
            stack.start_worker("worker-1")
            if config is None:
                Switches(stack.sandbox_url).put_record(purchase_order(EXAMPLE_ORDER, 100, 40))
            click.echo(_introduction(stack))
            _watch(stack)
    except KeyboardInterrupt:
        click.echo("\nstopped")


@click.command()
def demo() -> None:
    """Send deliveries, kill a worker half-way, and show what became of each.

    Exit code 0: all as expected.
    """
    _end_on_sigterm()
    began = time.monotonic()
    story = Story()
    with _directory() as directory, open_stack(Path(directory), os.environ, DEMO_SETTINGS) as stack:
        story.say(f"Store, sandbox platform, ingress and rules are up after {time.monotonic() - began:.1f} s.")
        rows = Demo(stack, story).play()
    story.table(rows)
    good = sum(row.good for row in rows)
    story.say(f"{good} of {len(rows)} as expected, in {time.monotonic() - began:.1f} s.")
    sys.exit(0 if good == len(rows) else EXIT_NOT_OK)


def _directory() -> "tempfile.TemporaryDirectory[str]":
    # short, since the store's unix socket lives in it
    return tempfile.TemporaryDirectory(prefix="waybill-", ignore_cleanup_errors=True)


def _dev_settings(outer: Mapping[str, str]) -> dict[str, str]:
    """Give what a person did not name: free ports, and little patience with records older than their events.

    The sandbox's records never change by themselves, so that none ever catches up with what is sent by hand.
    """
    wanted = {"port": "0", "admin_port": "0", "stale_read_wait_seconds": "1"}
    return {name: value for name, value in wanted.items() if f"WAYBILL_{name.upper()}" not in outer}


def _introduction(stack: Stack) -> str:
    """Say where everything is and what to try first."""
    workspace = stack.workspace
    return f"""
senders    {stack.service_url}/webhooks/<source>
operators  {stack.admin_url}/docs, …/metrics, …/readyz
sandbox    {stack.sandbox_url}, its sink: {stack.sandbox_url}/_sandbox/sink
files      {workspace.directory}: logs/*.jsonl, env; configured by {workspace.config}
store      {stack.environ["WAYBILL_REDIS_URL"]}
{"" if workspace.own_config else _example_delivery(stack)}
In a second terminal:

  . {workspace.env}{"    # and set the variables of your own secrets" if workspace.own_config else ""}
  waybill send {"SOURCE --event TYPE --id ID" if workspace.own_config else EXAMPLE_SEND}
  waybill events list                     # then: waybill explain ID
  waybill rules apply                     # after a change of the rules
  tail -f {workspace.logs}/*.jsonl

Ctrl-C ends it all.
"""


def _example_delivery(stack: Stack) -> str:
    request = updated_order(stack.workspace.secrets, EXAMPLE_ORDER, "evt-1")
    headers = " ".join(f"-H '{name}: {value}'" for name, value in request.headers.items())
    return f"""
A signed delivery of a purchase order that was received short:

  curl -X POST {stack.service_url}/webhooks/{request.source} \\
    -H 'Content-Type: application/json' {headers} \\
    -d '{request.body.decode()}'
"""


def _watch(stack: Stack) -> NoReturn:
    """Wait for a part that ends by itself.

    Raises:
        ChildFailed: one did.
    """
    while True:
        stack.check()
        time.sleep(WATCH_SECONDS)


def _end_on_sigterm() -> None:
    """Let SIGTERM do what Ctrl-C does, so that the children are stopped in order then too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
