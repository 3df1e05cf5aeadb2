"""`waybill sandbox`: a mock of the supported platforms and of targets. Runs until SIGINT or SIGTERM."""

import asyncio
import signal

import click
import msgspec

from service.sandbox.mail import running_mail_server
from service.sandbox.server import running_sandbox


@click.command(
    epilog="\b\nExamples:\n  waybill sandbox --port 8090\n"
    '  curl http://127.0.0.1:8090/_sandbox/faults --json \'{"match": "/", "status": 503}\''
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8090,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 selects a free port.",
)
@click.option(
    "--mail-port",
    default=0,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port of the mail server; 0 selects a free port.",
)
def sandbox(host: str, port: int, mail_port: int) -> None:
    """Run a mock of the supported platforms.

    Responses are built from recorded examples. Records, faults and received requests are managed below /_sandbox. A
    mail server keeps each message there. The first line on standard output is JSON: {"sandbox": URL, "mail": URL}.
    """
    try:
        asyncio.run(_serve(host, port, mail_port))
    except OSError as error:
        place = f"{host}:{port}, or {host}:{mail_port} for mail"
        raise click.ClickException(
            f"cannot listen on {place}: {error.strerror or error}. Choose another --host, --port or --mail-port."
        ) from error


async def _serve(host: str, port: int, mail_port: int) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with (
        running_sandbox(host, port) as handle,
        running_mail_server(handle.sandbox.sink, host, mail_port) as mail_url,
    ):
        click.echo(msgspec.json.encode({"sandbox": handle.url, "mail": mail_url}))
        await ended.wait()
