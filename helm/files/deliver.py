"""What `helm test` runs inside the cluster: post a signed delivery, be answered `queued`, and wait for the event's end.

Without a source it only asks health and sees that a stranger is refused.
"""

import argparse
import asyncio
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

from service.platforms.loading import load_config
from service.settings import Settings, load_settings
from service.store import Shards, open_shards

ASK_SECONDS_MAX = 10.0
LOOK_SECONDS = 0.5
BODY = Path(__file__).with_name("body")


def main() -> None:
    """Read the arguments, do it, and end with 1 and a sentence where something is not as it should be."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--webhooks", required=True)
    parser.add_argument("--admin", required=True)
    parser.add_argument("--seconds-max", type=float, default=60.0)
    parser.add_argument("--source", default="")
    parser.add_argument("--secret-env", default="")
    asked = parser.parse_args()
    expect("/readyz", ask(f"{asked.admin}/readyz"), 200)
    expect("a stranger", ask(f"{asked.webhooks}/webhooks/nobody-of-this-name", b"{}"), 404)
    if asked.source:
        settings = load_settings(os.environ)
        event_id = deliver(settings, asked)
        asyncio.run(await_end(settings, event_id, asked.seconds_max))
    print("ok")


def deliver(settings: Settings, asked: argparse.Namespace) -> str:
    """Sign as the source's sender would, post, and give the id of the event."""
    source = load_config(Path(settings.config), os.environ).sources[asked.source]
    if source.verify is None:
        sys.exit(f"nobody sends to {asked.source}: it asks by itself")
    fresh = str(uuid.uuid4())
    body = BODY.read_text().replace("{id}", fresh).encode()
    headers = source.verify.sign(body, os.environ[asked.secret_env], fresh, int(time.time()))
    answer = ask(f"{asked.webhooks}/webhooks/{asked.source}", body, headers)
    expect("the delivery", answer, 202)
    if answer[1].get("status") != "queued":
        sys.exit(f"the delivery was answered {answer[1]}, not queued: give the test a body with {{id}} in it")
    return str(answer[1]["event_id"])


async def await_end(settings: Settings, event_id: str, seconds_max: float) -> None:
    """Look at the event until it ended; a dead letter is no good end."""
    opened = await open_shards(settings)
    stores = opened.stores if isinstance(opened, Shards) else [opened]
    deadline = time.monotonic() + seconds_max
    shown: dict[str, Any] = {}
    while time.monotonic() < deadline and shown.get("state") not in {"ended", "dead"}:
        await asyncio.sleep(LOOK_SECONDS)
        for store in stores:
            shown = await store.events.show(event_id) or shown
    await opened.close()
    if shown.get("state") != "ended":
        told = {key: value for key, value in shown.items() if key not in {"event", "history"}}
        sys.exit(f"event {event_id} did not end well in {seconds_max:g} s: {told}")
    print(f"event {event_id} ended: {shown.get('outcome', '')}")


def ask(url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    """Make one request; GET without a body, POST with one."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=ASK_SECONDS_MAX) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def expect(what: str, answer: tuple[int, dict[str, Any]], status: int) -> None:
    """End with a sentence unless the answer has that status."""
    if answer[0] != status:
        sys.exit(f"{what} was answered {answer[0]} {answer[1]}, not {status}")


if __name__ == "__main__":
    main()
