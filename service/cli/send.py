"""`waybill send`: signed test deliveries to a configured source."""

import asyncio
import os
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import click
import msgspec
from msgspec import Struct, structs

from service.cli.completion import complete_source, events_in
from service.cli.configured_parts import ConfiguredParts
from service.cli.dev_instance import DevInstance, adopt_dev_instance
from service.cli.output import JSON, print_json, print_text
from service.cli.repeated_delivery import repeat_delivery
from service.config import Config
from service.config.decoding import did_you_mean
from service.errors import ConfigError, Rejection, TransientError
from service.events import Event, new_event_id
from service.http_client import HttpClient, HttpResponse
from service.management.event_view import locate_event
from service.management.stores import name_stores
from service.platforms.kind import SampleRequest
from service.sending.sample_deliveries import SampleDelivery, render
from service.sending.sender import DeliveryFactory, Sender, first_secret, send_all
from service.settings import Settings, load_settings
from service.store import open_shards

EXIT_REJECTED = 1


class SendRequest(Struct, frozen=True):
    """Options of the command. `source` is empty until the source of `like` is known."""

    source: str
    file: str | None
    event: str | None
    like: str | None
    keep_id: bool
    record_id: str
    url: str | None
    secret_env: str | None
    content_type: str
    count: int
    rate: float | None
    as_json: bool


@click.command(
    epilog="\b\nExamples:\n  waybill send pack-orders --event purchase_order.updated --id po-1\n"
    "  waybill send pack-orders --file delivery.json --count 100 --rate 10\n"
    "  waybill send --like 01a227c8660d7854b3a0704388149c9e"
)
@click.argument("source", default="", shell_complete=complete_source)
@click.option("--file", help="File with the body, or - for standard input.")
@click.option("--event", help="Generate the body for this event type, such as purchase_order.updated.")
@click.option(
    "--like", metavar="EVENT", shell_complete=events_in(), help="Repeat the delivery of this event with a new event id."
)
@click.option("--keep-id", is_flag=True, help="With --like: keep the event id, so that the delivery is a duplicate.")
@click.option("--id", "record_id", default="1", show_default=True, help="With --event: id of the record.")
@click.option("--count", type=click.IntRange(1, 1_000_000), default=1, show_default=True, help="Number of deliveries.")
@click.option("--rate", type=click.FloatRange(0.001, 100_000), help="Deliveries per second. Default: no limit.")
@click.option("--url", help="URL of the service. Default: http://127.0.0.1 and the port WAYBILL_PORT.")
@click.option("--secret-env", help="Environment variable with the secret. Default: the first secret of the source.")
@click.option("--content-type", default="application/json", show_default=True, help="Content-Type header.")
@JSON
def send(**options: object) -> None:
    """Send signed test deliveries to a source.

    Give the body with --file, generate it with --event, or repeat a delivery with --like, which reads the store. Prints
    the response to each delivery. Exit code 1 unless every response is 2xx.
    """
    request = msgspec.convert({name: options[name] for name in SendRequest.__struct_fields__}, SendRequest)
    if sum(given is not None for given in (request.file, request.event, request.like)) != 1:
        raise click.UsageError("Give one of --file, --event and --like.")
    if request.like is None and not request.source:
        raise click.UsageError("Missing argument SOURCE.")
    if request.keep_id and request.like is None:
        raise click.UsageError("--keep-id requires --like.")
    statuses = asyncio.run(_send(request))
    if request.count > 1:
        print_text("  ".join(f"{status}: {number}" for status, number in sorted(statuses.items())), err=True)
    if any(not status.startswith("2") for status in statuses):
        sys.exit(EXIT_REJECTED)


async def _send(request: SendRequest) -> Counter[str]:
    statuses: Counter[str] = Counter()
    instance = adopt_dev_instance(os.environ)
    settings = load_settings(os.environ)
    captured = None
    if request.like is not None:
        captured = await _load_event(settings, request.like)
        if request.source not in {"", captured.source}:
            raise click.UsageError(f"Event {request.like} is from {captured.source}. Omit SOURCE, or give this source.")
        request = structs.replace(request, source=captured.source)
    async with HttpClient(settings) as outbound:
        parts = ConfiguredParts(settings, outbound)
        sender = _sender(request, parts)
        if captured is None:
            make = _delivery_factory(request, parts.config, outbound, instance)
        else:
            make = _repeating_factory(captured, request, sender, outbound, instance)
        async for response in send_all(sender, outbound, make, request.count, request.rate):
            if request.as_json:
                print_json(_to_json(response))
            else:
                _print_response(response, sender.url)
            statuses[response.kind if isinstance(response, TransientError) else str(response.status)] += 1
    return statuses


async def _load_event(settings: Settings, event_id: str) -> Event:
    """Load an event with its body.

    Raises:
        ConfigError: there is no such event, its body has expired, or it was not delivered.
    """
    store = await open_shards(settings)
    try:
        _, shown = await locate_event(name_stores(store.stores), event_id)
    except Rejection as rejection:
        raise ConfigError("--like", rejection.detail.removesuffix("."), "run waybill events list for the ids") from None
    finally:
        await store.close()
    if shown["event"] is None:
        fix = "choose a newer event, or set WAYBILL_BODY_RETENTION_HOURS"
        raise ConfigError("--like", f"the body of event {event_id[:64]} has expired", fix)
    event = Event(**shown["event"])
    if event.depth:
        raise ConfigError(
            "--like", f"event {event.id} was emitted by a rule, not delivered", "choose a delivered event"
        )
    return event


def _to_json(response: HttpResponse | TransientError) -> dict[str, object]:
    """Return a response as JSON: its body is JSON or text."""
    if isinstance(response, TransientError):
        return {"http_status": None, "body": None, "error_kind": response.kind, "error": str(response)}
    try:
        body: object = msgspec.json.decode(response.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        body = response.body.decode(errors="replace")
    return {"http_status": response.status, "body": body, "error_kind": None, "error": None}


def _print_response(response: HttpResponse | TransientError, url: str) -> None:
    if isinstance(response, TransientError):
        print_text(
            f"{response.kind}  {response}. Check that `waybill serve` runs at {url}, or set --url or WAYBILL_PORT."
        )
        return
    print_text(f"{response.status}  {response.body.decode(errors='replace')}")


def _sender(request: SendRequest, parts: ConfiguredParts) -> Sender:
    if request.source not in parts.sources:
        reason = f"waybill.yaml has no source {request.source!r} that accepts deliveries"
        raise ConfigError("SOURCE", reason, did_you_mean(request.source, parts.sources))
    secret = _secret(request, parts.config)
    url = request.url or f"http://127.0.0.1:{parts.settings.port}"
    return Sender(request.source, parts.config.sources[request.source], secret, url, request.content_type)


def _secret(request: SendRequest, config: Config) -> str:
    """Return the secret for the signature, or an empty string if the scheme has no secret."""
    if request.secret_env is not None:
        if request.secret_env not in os.environ:
            fix = f"set {request.secret_env} to the secret"
            raise ConfigError("--secret-env", f"variable {request.secret_env} is not set", fix)
        return os.environ[request.secret_env]
    return first_secret(config, request.source, os.environ)


def _delivery_factory(
    request: SendRequest, config: Config, outbound: HttpClient, instance: DevInstance | None
) -> DeliveryFactory:
    """Return a function that makes a delivery and its event id. The body of a file is the same each time.

    A generated event of `waybill dev` follows a change of its record in the sandbox, as on a platform.
    """
    if request.file is not None:
        body = sys.stdin.buffer.read() if request.file == "-" else _read(request.file)

        async def repeat() -> tuple[str, SampleDelivery]:
            return new_event_id(), SampleDelivery(body)

        return repeat
    source, event = config.sources[request.source], request.event or ""
    platform = config.account_of(source)

    async def make() -> tuple[str, SampleDelivery]:
        if instance is not None:
            await _mark_changed(outbound, instance, request.record_id)
        event_id, at = new_event_id(), datetime.now(UTC).isoformat(timespec="milliseconds")
        return event_id, render(SampleRequest(event, request.record_id, event_id, at), source, platform)

    return make


def _repeating_factory(
    event: Event, request: SendRequest, sender: Sender, outbound: HttpClient, instance: DevInstance | None
) -> DeliveryFactory:
    """Return a function that makes a delivery like that of an event. With `waybill dev`, its record changes first."""

    async def make() -> tuple[str, SampleDelivery]:
        if instance is not None:
            await _mark_changed(outbound, instance, event.record.id)
        new_id = new_event_id()
        signed_id = event.sender_id if request.keep_id and event.sender_id else new_id
        return signed_id, repeat_delivery(event, sender.config.envelope, new_id, keep_id=request.keep_id)

    return make


async def _mark_changed(outbound: HttpClient, instance: DevInstance, record_id: str) -> None:
    url = f"{instance.sandbox_url}/_sandbox/changed/{quote(record_id, safe='')}"
    await outbound.request("POST", url, headers={}, body=None, seconds_max=5, bytes_max=1_000, guarded=False)


def _read(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        reason = f"cannot read {name}: {error.strerror}"
        raise ConfigError("--file", reason, "give an existing, readable file") from None
