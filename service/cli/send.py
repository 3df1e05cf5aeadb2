"""`waybill send`: sign and post deliveries as the sender of any configured source would."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from service.cli.context import CliContext, open_context
from service.cli.dev_instance import adopt_dev_instance
from service.cli.sample_deliveries import SampleDelivery, render
from service.cli.sender import Sender, send_all
from service.config import Config
from service.errors import ConfigError, TransientError
from service.events import new_event_id
from service.http_client import HttpClient, HttpResponse
from service.platforms.kind import SampleRequest

EXIT_REJECTED = 1


class SendRequest(Struct, frozen=True):
    """What the command line asks for."""

    source: str
    file: str | None
    event: str | None
    record_id: str
    url: str | None
    secret_env: str | None
    content_type: str
    count: int
    rate: float | None


@click.command()
@click.argument("source")
@click.option("--file", help="The body: a file, or - for standard input.")
@click.option("--event", help="Or make one from a template: the event in the sender's words (purchase_order.updated).")
@click.option("--id", "record_id", default="1", show_default=True, help="With --event: the record's id.")
@click.option("--count", type=click.IntRange(1, 1_000_000), default=1, show_default=True, help="How many.")
@click.option("--rate", type=click.FloatRange(0.001, 100_000), help="How many a second; left out, as fast as it goes.")
@click.option("--url", help="Where Waybill is; by default this machine, at WAYBILL_PORT.")
@click.option("--secret-env", help="Sign with this variable's secret instead of the source's first one.")
@click.option("--content-type", default="application/json", show_default=True, help="What the body is said to be.")
def send(**asked: object) -> None:
    """Sign and post deliveries as the sender of SOURCE would; print each answer. Exit code 1 unless all were taken."""
    order = msgspec.convert({name: asked[name] for name in SendRequest.__struct_fields__}, SendRequest)
    statuses = asyncio.run(_send(order))
    if order.count > 1:
        click.echo("  ".join(f"{status}: {number}" for status, number in sorted(statuses.items())), err=True)
    if any(not status.startswith("2") for status in statuses):
        sys.exit(EXIT_REJECTED)


async def _send(order: SendRequest) -> Counter[str]:
    statuses: Counter[str] = Counter()
    adopt_dev_instance(os.environ)
    async with open_context() as parts:
        sender = _sender(order, parts)
        make = _maker(order, parts.config)
        async with HttpClient(parts.settings) as outbound:
            async for answer in send_all(sender, outbound, make, order.count, order.rate):
                statuses[_show(answer, sender.url)] += 1
    return statuses


def _show(answer: HttpResponse | TransientError, url: str) -> str:
    """Print one answer; give its status, or the kind of what went wrong."""
    if isinstance(answer, TransientError):
        click.echo(f"{answer.kind}  {answer}; is waybill serve at {url}? --url or WAYBILL_PORT says where it is")
        return answer.kind
    click.echo(f"{answer.status}  {answer.body.decode(errors='replace')}")
    return str(answer.status)


def _sender(order: SendRequest, parts: CliContext) -> Sender:
    config = parts.config.sources.get(order.source)
    if config is None or config.verify is None:
        fix = f"name one of {', '.join(name for name, source in parts.config.sources.items() if source.verify)}"
        raise ConfigError(order.source, "no source that can be sent to has this name", fix)
    secret = _secret(order, parts.config)
    url = order.url or f"http://127.0.0.1:{parts.settings.port}"
    return Sender(order.source, config, secret, url, order.content_type)


def _secret(order: SendRequest, config: Config) -> str:
    """Give what to sign with; the empty text where the scheme has no secret at all."""
    if order.secret_env is not None:
        if order.secret_env not in os.environ:
            raise ConfigError("--secret-env", f"variable {order.secret_env} is not set", "set it")
        return os.environ[order.secret_env]
    scheme = config.sources[order.source].verify
    refs = scheme.refs if scheme is not None else ()
    return refs[0].resolve(os.environ, f"sources.{order.source}.verify") if refs else ""


def _maker(order: SendRequest, config: Config) -> Callable[[], tuple[str, SampleDelivery]]:
    """Give what makes each delivery with its event's id; from a file the body is the same each time."""
    if (order.file is None) == (order.event is None):
        raise click.UsageError("give the body by --file, or make one by --event")
    if order.file is not None:
        body = sys.stdin.buffer.read() if order.file == "-" else _read(order.file)
        return lambda: (new_event_id(), SampleDelivery(body))
    source, event = config.sources[order.source], order.event or ""
    platform = config.platforms[source.platform]

    def make() -> tuple[str, SampleDelivery]:
        event_id, at = new_event_id(), datetime.now(UTC).isoformat(timespec="milliseconds")
        request = SampleRequest(event, order.record_id, event_id, at)
        return event_id, render(request, source, platform)

    return make


def _read(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise ConfigError("--file", f"cannot read {name}: {error.strerror}", "name a file that is there") from None
