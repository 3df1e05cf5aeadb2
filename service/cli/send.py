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
from msgspec import Struct

from service.cli.configured_parts import ConfiguredParts
from service.cli.dev_instance import DevInstance, adopt_dev_instance
from service.cli.output import print_text
from service.cli.sample_deliveries import SampleDelivery, render
from service.cli.sender import DeliveryFactory, Sender, send_all
from service.config import Config
from service.config.decoding import did_you_mean
from service.errors import ConfigError, TransientError
from service.events import new_event_id
from service.http_client import HttpClient, HttpResponse
from service.platforms.kind import SampleRequest
from service.settings import load_settings

EXIT_REJECTED = 1


class SendRequest(Struct, frozen=True):
    """Options of the command."""

    source: str
    file: str | None
    event: str | None
    record_id: str
    url: str | None
    secret_env: str | None
    content_type: str
    count: int
    rate: float | None


@click.command(
    epilog="\b\nExamples:\n  waybill send pack-orders --event purchase_order.updated --id po-1\n"
    "  waybill send pack-orders --file delivery.json --count 100 --rate 10"
)
@click.argument("source")
@click.option("--file", help="File with the body, or - for standard input.")
@click.option("--event", help="Generate the body for this event type, such as purchase_order.updated.")
@click.option("--id", "record_id", default="1", show_default=True, help="With --event: id of the record.")
@click.option("--count", type=click.IntRange(1, 1_000_000), default=1, show_default=True, help="Number of deliveries.")
@click.option("--rate", type=click.FloatRange(0.001, 100_000), help="Deliveries per second. Default: no limit.")
@click.option("--url", help="URL of the service. Default: http://127.0.0.1 and the port WAYBILL_PORT.")
@click.option("--secret-env", help="Environment variable with the secret. Default: the first secret of the source.")
@click.option("--content-type", default="application/json", show_default=True, help="Content-Type header.")
def send(**options: object) -> None:
    """Send signed test deliveries to a source.

    Give the body with --file, or generate it with --event. Prints the response to each delivery. Exit code 1 unless
    every response is 2xx.
    """
    request = msgspec.convert({name: options[name] for name in SendRequest.__struct_fields__}, SendRequest)
    statuses = asyncio.run(_send(request))
    if request.count > 1:
        print_text("  ".join(f"{status}: {number}" for status, number in sorted(statuses.items())), err=True)
    if any(not status.startswith("2") for status in statuses):
        sys.exit(EXIT_REJECTED)


async def _send(request: SendRequest) -> Counter[str]:
    statuses: Counter[str] = Counter()
    instance = adopt_dev_instance(os.environ)
    settings = load_settings(os.environ)
    async with HttpClient(settings) as outbound:
        parts = ConfiguredParts(settings, outbound)
        sender = _sender(request, parts)
        make = _delivery_factory(request, parts.config, outbound, instance)
        async for response in send_all(sender, outbound, make, request.count, request.rate):
            statuses[_print_response(response, sender.url)] += 1
    return statuses


def _print_response(response: HttpResponse | TransientError, url: str) -> str:
    """Print a response. Return its status, or the kind of the error."""
    if isinstance(response, TransientError):
        print_text(
            f"{response.kind}  {response}. Check that `waybill serve` runs at {url}, or set --url or WAYBILL_PORT."
        )
        return response.kind
    print_text(f"{response.status}  {response.body.decode(errors='replace')}")
    return str(response.status)


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
    scheme = config.sources[request.source].verify
    refs = scheme.refs if scheme is not None else ()
    return refs[0].resolve(os.environ, f"sources.{request.source}.verify") if refs else ""


def _delivery_factory(
    request: SendRequest, config: Config, outbound: HttpClient, instance: DevInstance | None
) -> DeliveryFactory:
    """Return a function that makes a delivery and its event id. The body of a file is the same each time.

    A generated event of `waybill dev` follows a change of its record in the sandbox, as on a platform.
    """
    if (request.file is None) == (request.event is None):
        raise click.UsageError("Give either --file or --event.")
    if request.file is not None:
        body = sys.stdin.buffer.read() if request.file == "-" else _read(request.file)

        async def repeat() -> tuple[str, SampleDelivery]:
            return new_event_id(), SampleDelivery(body)

        return repeat
    source, event = config.sources[request.source], request.event or ""
    platform = config.platforms[source.platform]

    async def make() -> tuple[str, SampleDelivery]:
        if instance is not None:
            await _mark_changed(outbound, instance, request.record_id)
        event_id, at = new_event_id(), datetime.now(UTC).isoformat(timespec="milliseconds")
        return event_id, render(SampleRequest(event, request.record_id, event_id, at), source, platform)

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
