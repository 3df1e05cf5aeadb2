"""`waybill sandbox`: run the mocks of the platforms until interrupted."""

import asyncio
import signal

import click
import msgspec

from service.sandbox.server import running_sandbox


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8090, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 takes a free one."
)
def sandbox(host: str, port: int) -> None:
    """Run mocks of the platforms, with example records and faults on demand.

    The first line on stdout is JSON: {"sandbox": URL}.
    """
    try:
        asyncio.run(_serve(host, port))
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror or error}") from error


async def _serve(host: str, port: int) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with running_sandbox(host, port) as handle:
        click.echo(msgspec.json.encode({"sandbox": handle.url}))
        await ended.wait()
