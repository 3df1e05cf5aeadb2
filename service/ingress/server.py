"""Both ports in one process and one event loop: bound first, served by uvicorn, stopped together and in time.

uvicorn's own handling of signals is for one server; here one signal stops two, so it is done here. A connection that
sends no whole request head is closed as well, which uvicorn has no limit for.
"""

import asyncio
import contextlib
import math
import signal
import socket
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from typing import cast

import uvicorn
from litestar import Router
from litestar.types import ASGIApp

from service.errors import ConfigError
from service.garbage import tune_garbage_collector
from service.ingestion.sources import Source
from service.ingress.app import build_admin_app, build_app
from service.ingress.http.connection_limits import LimitedConnection, connection_class
from service.ingress.http.health import Readiness
from service.ingress.http.idle_timeouts import ConnectionTimeouts, IdleTimeouts
from service.ingress.store_monitor import StoreMonitor
from service.log import get_logger
from service.settings import Settings

START_POLL_SECONDS = 0.01
BACKLOG = 2_048
TICKS_PER_TIMEOUT_CHECK = 10
"""uvicorn ticks ten times a second."""

ADMIN_REQUEST_SECONDS_MAX = 120.0
"""How long an operator's body may take, and an answer to them: both may be large. Our own commands wait as long."""


def bind(host: str, port: int, variable: str) -> socket.socket:
    """Bind one listening socket; port 0 takes a free one.

    Raises:
        ConfigError: the address cannot be had; `variable` is the setting to name.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = f"cannot listen on {host}:{port} ({error.strerror or error})"
        raise ConfigError(variable, reason, "take a free port, and an address of this machine") from error
    listener.setblocking(False)  # noqa: FBT003 - the standard library takes it by position
    return listener


class Listener(uvicorn.Server):
    """One port: `start`, then `stop`. Signals are left alone."""

    def __init__(
        self, app: ASGIApp, listener: socket.socket, settings: Settings, limits: ConnectionTimeouts | None = None
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=connection_class(settings),
                ws="none",
                lifespan="on",
                log_config=None,  # service.log has taken the standard library's logging over already
                access_log=False,  # delivery.received says more
                server_header=False,
                proxy_headers=False,  # anyone could name any address
                timeout_graceful_shutdown=math.ceil(settings.shutdown_timeout_seconds),
            )
        )
        self._socket = listener
        seconds = settings.body_timeout_seconds
        # a slow delivery is told so by its handler before the second number
        self._idle_timeouts = IdleTimeouts(limits or ConnectionTimeouts(seconds, 2 * seconds, seconds))
        self._serving: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return cast("tuple[str, int]", self._socket.getsockname())[1]

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals to `run`."""
        yield

    async def start(self) -> None:
        """Return once connections are accepted."""
        self._serving = asyncio.get_running_loop().create_task(self.serve([self._socket]))
        while not self.started:
            if self._serving.done():
                self._serving.result()
                raise RuntimeError("the server ended before it began")
            # uvicorn says by a flag alone that it has started.
            await asyncio.sleep(START_POLL_SECONDS)

    async def stop(self) -> None:
        """Accept nothing new, let requests under way end within the limit, and return."""
        self.should_exit = True
        if self._serving is not None:
            await self._serving

    async def on_tick(self, counter: int) -> bool:
        """Do what uvicorn does ten times a second, and look at slow connections once a second."""
        if counter % TICKS_PER_TIMEOUT_CHECK == 0:
            self._idle_timeouts.close_expired(
                cast("list[LimitedConnection]", list(self.server_state.connections)), time.monotonic()
            )
        return await super().on_tick(counter)


async def run(
    settings: Settings, sources: Mapping[str, Source], store: StoreMonitor, admin: Router | None = None
) -> None:
    """Serve both ports until SIGTERM or SIGINT, then stop in order; the store is opened and closed here.

    Raises:
        ConfigError: a port cannot be had, or the store's address cannot be read.
    """
    log = get_logger()
    began = time.monotonic()
    signalled = _listen_for_signals()
    readiness = Readiness(settings, store)
    with (
        bind(settings.host, settings.port, "WAYBILL_PORT") as port,
        bind(settings.host, settings.admin_port, "WAYBILL_ADMIN_PORT") as admin_port,
    ):
        senders = Listener(build_app(settings, sources, store, readiness), port, settings)
        slow = ConnectionTimeouts(settings.body_timeout_seconds, ADMIN_REQUEST_SECONDS_MAX, ADMIN_REQUEST_SECONDS_MAX)
        operators = Listener(build_admin_app(settings, store, readiness, admin), admin_port, settings, slow)
        async with _kept_open(store):
            await asyncio.gather(senders.start(), operators.start())
            tune_garbage_collector()
            log.info("process.started", port=senders.port, admin_port=operators.port, durability=settings.durability)
            reason = await signalled
            readiness.stopping = True
            await asyncio.gather(senders.stop(), operators.stop())
    log.info("process.stopped", reason=reason, uptime_seconds=round(time.monotonic() - began, 3))


@contextlib.asynccontextmanager
async def _kept_open(store: StoreMonitor) -> AsyncGenerator[None]:
    # Once before the ports open, so that the first senders meet no 503 without need.
    await store.probe()
    watch = asyncio.get_running_loop().create_task(store.run())
    try:
        yield
    finally:
        watch.cancel()
        await store.close()


def _listen_for_signals() -> asyncio.Future[str]:
    """Give what will be the name of the signal that ends the process."""
    loop = asyncio.get_running_loop()
    heard: asyncio.Future[str] = loop.create_future()

    def on_signal(name: str) -> None:
        if not heard.done():
            heard.set_result(name)

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, on_signal, each.name)
    return heard
