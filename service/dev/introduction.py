"""Text that `waybill dev` prints when it is ready: addresses, admin token, and the commands to try first."""

import os
import re
import shlex
import sys
from pathlib import Path

from service.configuration import load_config
from service.dev.session import KEYS_HELP
from service.dev.stack import Stack
from service.sending.example_event import find_example_event

EXAMPLE_ORDER = "po-1"


def format_introduction(stack: Stack, *, has_keys: bool) -> str:
    """Format the addresses, the admin token and the commands to try first."""
    workspace, command = stack.workspace, program()
    store = re.sub(r"//[^/@]*@", "//", stack.environ["WAYBILL_REDIS_URL"])  # without a password
    keys = f"\n{KEYS_HELP}" if has_keys else ""
    return f"""
console    {stack.admin_url}/ with token {workspace.admin_token}
webhooks   {stack.service_url}/webhooks/<source>
admin      {stack.admin_url}/docs, …/metrics, …/readyz
sandbox    {stack.sandbox_url}, received requests: {stack.sandbox_url}/_sandbox/sink
mail       {stack.mail_url}, a mail server; received messages: {stack.sandbox_url}/_sandbox/sink
config     {workspace.config}
data       {workspace.directory}, kept; --fresh starts anew
logs       {workspace.logs}/*.jsonl
store      {store}

In a second terminal:

  {_example_send(stack, command)}
  {command} events list      # list events and their ids
  {command} explain EVENT    # explain the decision on an event

waybill.yaml and rules are reloaded when they change.{keys}
Ctrl-C stops everything.
"""


def program() -> str:
    """Return the command to type: `waybill`, with its folder if the folder is not in PATH."""
    command = Path(sys.executable).with_name("waybill")
    if str(command.parent) in os.environ.get("PATH", "").split(os.pathsep):
        return "waybill"
    return str(command.relative_to(Path.cwd())) if command.is_relative_to(Path.cwd()) else str(command)


def _example_send(stack: Stack, command: str) -> str:
    example = find_example_event(load_config(stack.workspace.config, stack.environ))
    if example is None:
        return f"{command} sources          # no source accepts deliveries"
    record_id = "1" if stack.workspace.own_config else EXAMPLE_ORDER
    return f"{command} send {example.source} --event {shlex.quote(example.event)} --id {record_id}"
