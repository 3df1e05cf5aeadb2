"""Server of both ports in one process and one event loop: bind, serve with uvicorn, shut down gracefully.

uvicorn handles signals for one server. Here one signal stops two servers. A connection without a complete request
head is closed, for which uvicorn has no timeout.
"""

import asyncio
import contextlib
import math
import signal
import socket
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from typing import cast

import uvicorn
from litestar import Router
from litestar.plugins import InitPlugin
from litestar.types import ASGIApp
from msgspec import structs

from service.clock_difference import watch_clock
from service.garbage import tune_garbage_collector
from service.garbage_collection import collect_old_objects
from service.ingestion.sources import Source
from service.ingress.app import build_admin_app, build_app
from service.ingress.http.connection_limits import LimitedConnection, connection_class
from service.ingress.http.connection_table import connections_within_files
from service.ingress.http.health import Readiness
from service.ingress.http.idle_timeouts import ConnectionTimeouts, IdleTimeouts
from service.ingress.store_monitor import StoreMonitor
from service.listening_socket import bind
from service.log import get_logger
from service.metrics.event_loop import measure_event_loop_lag
from service.open_files import watch_open_files
from service.settings import Settings

POLL_SECONDS = 0.01
TICK_SECONDS = 1.0
"""Interval of the `Date` header and of the check for expired connections."""

ACCEPTS_MAX = 8
"""Connections accepted per iteration of the event loop. uvloop accepts one per listening socket and iteration, and an
iteration takes 10 ms under load: of 256 new connections the last one would wait for seconds."""

ADMIN_REQUEST_SECONDS_MAX = 120.0
"""Timeout of bodies and responses on the admin port, both of which may be large. The commands use the same timeout."""


class Listener(uvicorn.Server):
    """uvicorn server of one port, without signal handling: `start`, then `stop`."""

    def __init__(
        self, app: ASGIApp, listener: socket.socket, settings: Settings, limits: ConnectionTimeouts | None = None
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=connection_class(settings),
                ws="none",
                lifespan="on",
                log_config=None,  # service.log configures the standard library's logging
                access_log=False,  # delivery.received has more fields
                server_header=False,
                proxy_headers=False,  # service.ingress.limits.client_address checks X-Forwarded-For
                timeout_graceful_shutdown=math.ceil(settings.shutdown_timeout_seconds),
            )
        )
        self._socket = listener
        seconds = settings.body_timeout_seconds
        # Twice the body timeout, so that the handler answers a slow delivery first.
        self._idle_timeouts = IdleTimeouts(limits or ConnectionTimeouts(seconds, 2 * seconds, seconds))
        self._serving: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    @property
    def port(self) -> int:
        """Port number of the socket."""
        return cast("tuple[str, int]", self._socket.getsockname())[1]

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Install no signal handlers: `run` does."""
        yield

    async def start(self) -> None:
        """Start serving; return once connections are accepted."""
        sockets = [self._socket, *(self._socket.dup() for _ in range(ACCEPTS_MAX - 1))]
        self._serving = asyncio.get_running_loop().create_task(self.serve(sockets))
        while not self.started:
            if self._serving.done():
                self._serving.result()
                raise RuntimeError("the server stopped during startup; see the log lines before this one")
            # Poll: uvicorn only sets a flag when it has started.
            await asyncio.sleep(POLL_SECONDS)

    async def stop(self) -> None:
        """Stop accepting connections, finish requests in progress within the shutdown timeout, and return."""
        self._stopping.set()
        if self._serving is not None:
            await self._serving

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close idle connections, finish requests in progress within the timeout, and stop the application.

        uvicorn's own method waits a tenth of a second even if no connection is open.
        """
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110 - uvicorn has no event
                    await asyncio.sleep(POLL_SECONDS)
                for server in self.servers:
                    await server.wait_closed()
        except TimeoutError:
            for task in self.server_state.tasks:
                task.cancel("the shutdown timeout is over")
        await self.lifespan.shutdown()

    async def main_loop(self) -> None:
        """Tick until `stop` is called. uvicorn ticks ten times a second, and notices a stop at the next tick."""
        while not self._stopping.is_set():
            await self.on_tick(0)
            self._idle_timeouts.close_expired(
                cast("list[LimitedConnection]", list(self.server_state.connections)), time.monotonic()
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), TICK_SECONDS)


async def run(
    settings: Settings,
    sources: Mapping[str, Source],
    store: StoreMonitor,
    admin: Router | None = None,
    plugins: Sequence[InitPlugin] = (),
    *,
    console: Router | None = None,
    on_listening: Callable[[int], None] = lambda _port: None,
) -> None:
    """Serve both ports until SIGTERM or SIGINT, then shut down. Opens and closes the store.

    `on_listening` is called with the number of the webhook port before requests are served.

    Raises:
        ConfigError: a port is not available, or the store's address is invalid.
    """
    log = get_logger()
    started_at = time.monotonic()
    stop_signal = _listen_for_signals()
    settings = structs.replace(settings, connections_max=connections_within_files(settings))
    readiness = Readiness(settings, store)
    with (
        bind(settings.host, settings.port, "WAYBILL_PORT") as port,
        bind(settings.host, settings.admin_port, "WAYBILL_ADMIN_PORT") as admin_port,
    ):
        webhook_listener = Listener(build_app(settings, sources, store, readiness, plugins), port, settings)
        admin_timeouts = ConnectionTimeouts(
            settings.body_timeout_seconds, ADMIN_REQUEST_SECONDS_MAX, ADMIN_REQUEST_SECONDS_MAX
        )
        admin_app = build_admin_app(settings, store, readiness, admin, plugins, console=console)
        admin_listener = Listener(admin_app, admin_port, settings, admin_timeouts)
        on_listening(webhook_listener.port)
        async with _open_store(store):
            await asyncio.gather(webhook_listener.start(), admin_listener.start())
            tune_garbage_collector()
            log.info(
                "process.started",
                port=webhook_listener.port,
                admin_port=admin_listener.port,
                durability=settings.durability,
            )
            reason = await stop_signal
            readiness.stopping = True
            await asyncio.gather(webhook_listener.stop(), admin_listener.stop())
    log.info("process.stopped", reason=reason, uptime_seconds=round(time.monotonic() - started_at, 3))


@contextlib.asynccontextmanager
async def _open_store(store: StoreMonitor) -> AsyncGenerator[None]:
    # Probe before the ports open, so that the first deliveries are not answered 503 needlessly.
    await store.probe()
    loop = asyncio.get_running_loop()
    clock = watch_clock(lambda: store.opened)
    background = (store.run(), measure_event_loop_lag(), collect_old_objects(), watch_open_files(), clock)
    tasks = [loop.create_task(each) for each in background]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await store.close()


def _listen_for_signals() -> asyncio.Future[str]:
    """Install signal handlers; return a future of the name of the first signal."""
    loop = asyncio.get_running_loop()
    received: asyncio.Future[str] = loop.create_future()

    def on_signal(name: str) -> None:
        if not received.done():
            received.set_result(name)

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, on_signal, each.name)
    return received
