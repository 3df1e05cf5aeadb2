"""Script of `helm test`: post a signed delivery, and wait until its event has ended.

Without a source, only check readiness and the rejection of an unknown source.
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

from service.configuration import load_config
from service.settings import Settings, load_settings
from service.store import open_shards

REQUEST_TIMEOUT_SECONDS = 10.0
POLL_INTERVAL_SECONDS = 0.5
BODY = Path(__file__).with_name("body")


def main() -> None:
    """Run the test; exit with 1 and a message on failure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--webhooks", required=True)
    parser.add_argument("--admin", required=True)
    parser.add_argument("--seconds-max", type=float, default=60.0)
    parser.add_argument("--source", default="")
    parser.add_argument("--secret-env", default="")
    options = parser.parse_args()
    expect("/readyz", send_request(f"{options.admin}/readyz"), 200)
    expect("unknown source", send_request(f"{options.webhooks}/webhooks/no-such-source", b"{}"), 404)
    if options.source:
        settings = load_settings(os.environ)
        event_id = deliver(settings, options)
        asyncio.run(await_end(settings, event_id, options.seconds_max))
    print("ok")


def deliver(settings: Settings, options: argparse.Namespace) -> str:
    """Post a signed delivery; return the id of the event."""
    source = load_config(Path(settings.config), os.environ).sources[options.source]
    if source.verify is None:
        sys.exit(f"source {options.source} is polled and receives no deliveries. Set test.source to another one.")
    new_id = str(uuid.uuid4())
    body = BODY.read_text().replace("{id}", new_id).encode()
    headers = source.verify.sign(body, os.environ[options.secret_env], new_id, int(time.time()))
    response = send_request(f"{options.webhooks}/webhooks/{options.source}", body, headers)
    expect("delivery", response, source.success_status)
    if response[1].get("status") != "queued":
        sys.exit(f"delivery: status is not queued: {response[1]}. Set test.body to a body with {{id}} as its event id.")
    return str(response[1]["event_id"])


async def await_end(settings: Settings, event_id: str, seconds_max: float) -> None:
    """Poll the event until it has ended; exit with 1 for a dead letter."""
    opened = await open_shards(settings)
    deadline = time.monotonic() + seconds_max
    state_of_event: dict[str, Any] = {}
    while time.monotonic() < deadline and state_of_event.get("state") not in {"ended", "dead"}:
        await asyncio.sleep(POLL_INTERVAL_SECONDS)
        for store in opened.stores:
            state_of_event = await store.events.get(event_id) or state_of_event
    await opened.close()
    if state_of_event.get("state") != "ended":
        summary = {key: value for key, value in state_of_event.items() if key not in {"event", "history"}}
        sys.exit(f"event {event_id} did not end successfully within {seconds_max:g} s: {summary}")
    print(f"event {event_id} ended: {state_of_event.get('outcome', '')}")


def send_request(
    url: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    """Send a GET request, or a POST request if there is a body."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_SECONDS) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def expect(subject: str, response: tuple[int, dict[str, Any]], status: int) -> None:
    """Exit with 1 unless the response has the expected status."""
    if response[0] != status:
        sys.exit(f"{subject}: expected HTTP {status}, got {response[0]} {response[1]}")


if __name__ == "__main__":
    main()
