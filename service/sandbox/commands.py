"""`waybill sandbox`: a mock of the supported platforms. Runs until SIGINT or SIGTERM."""

import asyncio
import signal

import click
import msgspec

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
def sandbox(host: str, port: int) -> None:
    """Run a mock of the supported platforms.

    Responses are built from recorded examples. Records, faults and received requests are managed below /_sandbox. The
    first line on standard output is JSON: {"sandbox": URL}.
    """
    try:
        asyncio.run(_serve(host, port))
    except OSError as error:
        raise click.ClickException(
            f"cannot listen on {host}:{port}: {error.strerror or error}. Choose another --host or --port."
        ) from error


async def _serve(host: str, port: int) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with running_sandbox(host, port) as handle:
        click.echo(msgspec.json.encode({"sandbox": handle.url}))
        await ended.wait()
