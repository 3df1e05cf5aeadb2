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

DEMO_SETTINGS = {
    "port": "0",
    "admin_port": "0",
    "lease_seconds": "2",
    "backoff_seconds": "0.2",
    "backoff_seconds_max": "1",
    "sample_seconds": "5",
}
"""Short times, so that a dead worker's event is taken over while one looks on."""


@click.command()
def dev() -> None:
    """Run everything on this machine until Ctrl-C: store, sandbox platform, ingress, worker, example rules."""
    _end_on_sigterm()
    try:
        with _directory() as directory, open_stack(Path(directory), os.environ, _free_ports(os.environ)) as stack:
            stack.start_worker("worker-1")
            Switches(stack.sandbox_url).put_record(purchase_order(EXAMPLE_ORDER, 100, 40))
            click.echo(_introduction(stack))
            _watch(stack)
    except KeyboardInterrupt:
        click.echo("\nstopped")


@click.command()
def demo() -> None:
    """Send deliveries, kill a worker half-way, and show what became of each; exit code 0: all as expected."""
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


def _free_ports(outer: Mapping[str, str]) -> dict[str, str]:
    """Take free ports where the person named none."""
    return {name: "0" for name in ("port", "admin_port") if f"WAYBILL_{name.upper()}" not in outer}


def _introduction(stack: Stack) -> str:
    request = updated_order(stack.workspace.secrets, EXAMPLE_ORDER, "evt-1")
    headers = " ".join(f"-H '{name}: {value}'" for name, value in request.headers.items())
    return f"""
senders    {stack.service_url}/webhooks/pack-orders, …/flow-till
operators  {stack.admin_url}/docs, …/metrics, …/readyz
sandbox    {stack.sandbox_url}, its sink: {stack.sandbox_url}/_sandbox/sink
files      {stack.workspace.directory}: waybill.yaml, rules/, logs/*.jsonl
store      {stack.environ["WAYBILL_REDIS_URL"]}

A signed delivery of a purchase order that was received short:

  curl -X POST {stack.service_url}/webhooks/{request.source} \\
    -H 'Content-Type: application/json' {headers} \\
    -d '{request.body.decode()}'

  tail -f {stack.workspace.logs}/*.jsonl

Ctrl-C ends it all.
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
